"""Who carries."""
