"""DreamerV1 (Hafner et al. 2020): its recipe, and the parts that it introduced."""
