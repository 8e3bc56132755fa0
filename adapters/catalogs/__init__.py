"""Image catalogs: adapters for the ports in `lading.ports.catalog`."""
