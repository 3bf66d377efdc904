"""Golden files of V3."""

CHECKS = {}
