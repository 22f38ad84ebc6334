"""From the official downloads to the folders that the loaders read: one module per command of ``prepare_data.py``."""
