"""Comparisons of world models on the same stored records: data, training, measures, and the grid of runs."""
