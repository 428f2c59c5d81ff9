"""The page of the service: its text, its style and its scripts."""
