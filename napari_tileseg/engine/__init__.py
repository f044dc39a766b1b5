"""Tiles, windows, merging and prediction: torch and numpy, no files, no window."""
