"""Bytes on their way: sources, the pipeline, sparse files, safe opening."""
