"""Adapters that give every environment the same spaces, actions and observations."""
