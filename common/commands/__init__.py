"""One file per command of the dispatcher, and what they share."""
