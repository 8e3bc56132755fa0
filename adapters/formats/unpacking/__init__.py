"""Unpacking: from the bytes of a compressed file or an archive to those of the one disk image in it."""
