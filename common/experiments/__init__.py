"""Grids of runs: comparisons, ablations, ladders and suites."""
