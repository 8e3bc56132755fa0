"""Associations, journal, verified files and locks in the memory of this process."""
