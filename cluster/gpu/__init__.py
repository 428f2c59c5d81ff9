"""GPU clusters on EC2: planned, started, used and ended."""
