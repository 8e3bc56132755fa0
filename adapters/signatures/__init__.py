"""Signatures of images, and of the lists of images."""
