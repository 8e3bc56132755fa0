"""What the authors of handlers, catalogs, stores and locks need; see docs/sdk.md."""
