"""Objects in storage that clones as targets: the one state machine, and `CloneStorage`, all that a vendor writes."""
