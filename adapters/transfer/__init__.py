"""How bytes land: one pipeline for every handler that moves them."""
