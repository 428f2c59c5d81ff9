"""Machines and clusters: commands that start work there; nothing of what the work is."""
