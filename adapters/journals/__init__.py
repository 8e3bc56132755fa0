"""Who remembers what is under way."""
