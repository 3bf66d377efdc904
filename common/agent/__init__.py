"""The agent: world model, behaviour and the one training step that all versions share."""
