"""Adapters from any environment to the hub's spaces, observations and actions."""
