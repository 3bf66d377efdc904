"""Actors: processes that run environments with a copy of the policy, on this machine or on a Ray cluster."""
