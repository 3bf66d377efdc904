"""Explanations of config keys: effect, source, implementing file, and when a key has no effect."""
