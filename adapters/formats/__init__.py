"""What bytes are: digest, format, safety."""
