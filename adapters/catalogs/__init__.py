"""Who knows images."""
