"""Scripts that a fresh machine runs first."""
