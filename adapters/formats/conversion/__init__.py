"""Conversion and growth of disk images, by external tools in a sandbox."""
