"""Images as HTTP servers have them."""
