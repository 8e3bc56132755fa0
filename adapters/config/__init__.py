"""The configuration file and the variables over it."""
