"""What can still be had of a damaged database."""
