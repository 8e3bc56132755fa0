"""The decisions: which handler, which location, in which order, and the meaning of a refusal. No I/O."""
