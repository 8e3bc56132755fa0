"""Who remembers which files were hashed."""
