"""Results of runs and differences between them: statistics, reports, published scores, explanations."""
