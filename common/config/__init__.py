"""Configs: the command line, the parts table, defaults, ranges and named features."""
