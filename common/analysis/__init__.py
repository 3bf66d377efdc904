"""What runs reached and how they differ: statistics, reports, published scores, explanations."""
