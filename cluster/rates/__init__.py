"""Rates and prices of instances, measured or given, in files that say when."""
