"""Dimensions of a weight that count its groups (``optim/groups.py``)."""

OUTPUT_CHANNELS, INPUT_CHANNELS = 0, 1
