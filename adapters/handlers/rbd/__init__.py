"""Images in Ceph."""
