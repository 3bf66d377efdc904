"""Checks of an installation and of the machine it is on, each one line that says what to type next."""
