"""`reviewmill bench imbalance`: remedies for a rare class."""
