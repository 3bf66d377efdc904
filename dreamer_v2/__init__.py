"""DreamerV2 (Hafner et al. 2021): its recipe, and the parts that it introduced."""
