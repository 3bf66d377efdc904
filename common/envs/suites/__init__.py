"""Environment suites, one file each."""
