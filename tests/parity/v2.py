"""Golden files of V2."""

CHECKS = {}
