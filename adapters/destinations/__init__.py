"""Kinds of targets: files of this host, and clones in storage."""
