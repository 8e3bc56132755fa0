"""Who may work on a thing just now."""
