"""Adapters to this host: its boot id, and private files and folders."""
