"""Policies of AWS, as templates that cluster.roles fills in."""
