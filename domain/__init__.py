"""The decisions: which handler, which location, in which order, and what a refusal means. No I/O."""
