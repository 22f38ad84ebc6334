"""Description of a folder for ``prepare_data.py describe``: where images and targets lie, and what the numbers may mean."""
