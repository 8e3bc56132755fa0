"""OpenStack: its clouds, as far as more than one adapter needs them."""
