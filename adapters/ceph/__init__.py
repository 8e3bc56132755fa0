"""Ceph: its clusters, and the images in their pools."""
