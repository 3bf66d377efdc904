"""Checks of an environment before training: a random rollout and the problems that it shows."""
