"""A file of this host as a target."""
