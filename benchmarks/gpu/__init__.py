"""`reviewmill bench gpu`: training on one GPU, and what bounds it."""
