"""Figures of one trial, and the palette of all."""
