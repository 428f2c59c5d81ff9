"""Models: one record a file; nets/ has their torch modules."""
