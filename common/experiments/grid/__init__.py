"""Grids of runs: variants x tasks x seeds in one folder, each run in a separate process."""
