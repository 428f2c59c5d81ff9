"""Comparison of models and baselines under one protocol, and the statistics of its results."""
