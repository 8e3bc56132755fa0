"""Associations, journal and verified files in an SQLite database."""
