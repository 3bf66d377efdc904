"""The agent that all versions share: world model, behaviour, acting and the one update; contracts of its parts."""
