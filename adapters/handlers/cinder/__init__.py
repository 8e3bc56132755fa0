"""Images on Cinder volumes."""
