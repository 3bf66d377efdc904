"""Checks of the installation and of the machine. Each is one line, with the command that fixes a problem."""
