"""Images, locations and associations as JSON."""
