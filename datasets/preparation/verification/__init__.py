"""Checks of ``prepare_data.py verify``: the files that there should be, the contents of each, and a table."""
