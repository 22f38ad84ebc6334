"""What ``prepare_data.py verify`` asks of a data set: which files there should be, what is in each, and a table."""
