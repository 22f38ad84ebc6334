"""Synthetic rooms and faces in the layouts of the real data sets."""
