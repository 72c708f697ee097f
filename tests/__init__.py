"""Tests of everything; the folders mirror the tree. Run with `python -m pytest`."""
