"""Monitoring of a run: log, metrics, phase times, profiles, signals."""
