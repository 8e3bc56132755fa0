"""Properties of an image's bytes: digest, format, safety."""
