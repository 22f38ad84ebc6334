"""What ``prepare_data.py verify`` asks of a data set: a survey per layout, checks per file, processes, a table."""
