"""Frames at the input size on disk, so that an epoch reads them at the speed of memory."""
