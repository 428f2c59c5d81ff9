"""Policies of AWS, as templates that cluster.emr_setup fills in."""
