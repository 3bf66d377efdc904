"""Checks of an environment before training: a random rollout and what it shows."""
