"""Learning curves of the official agents next to ours, on the same environments with the same settings."""
