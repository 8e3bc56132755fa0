"""Handlers: the ways to read images. rbd/ and cinder/ have their own storage too."""
