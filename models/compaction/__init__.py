"""Exact removal of the channels that only zero groups read (docs/compact.md)."""
