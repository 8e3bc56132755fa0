"""Block devices of this host as targets: incomplete until the last byte is read back."""
