"""Golden files of V1."""

CHECKS = {}
