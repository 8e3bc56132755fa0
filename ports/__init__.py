"""The values and Protocols at lading's boundary. No I/O."""
