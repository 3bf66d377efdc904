"""Loggers of a run besides its own files: a table for spreadsheets, and services that collect runs."""
