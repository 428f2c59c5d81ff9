"""What a fresh machine runs first."""
