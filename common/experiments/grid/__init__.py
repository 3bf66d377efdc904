"""Grids of runs: variants x tasks x seeds in one folder, each run in a process of its own."""
