"""Registries of the OCI: references, credentials, sign-in, and the disk image that a manifest names."""
