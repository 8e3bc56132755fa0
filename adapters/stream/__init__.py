"""Byte streams: sources, the pipeline, sparse files, safe opening."""
