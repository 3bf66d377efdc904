"""What every config key does, where it comes from, which file implements it, and when it has no effect."""
