"""Weights of other Dreamer implementations: one file per foreign layout, registered in `formats.py`."""
