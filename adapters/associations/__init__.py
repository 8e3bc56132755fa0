"""Who remembers which handler put what where."""
