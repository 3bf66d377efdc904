"""DreamerV3 (Hafner et al. 2023, 2025): its recipes, and the parts that it introduced."""
