"""Memory that the ranks of one host share, and what they do in it."""
