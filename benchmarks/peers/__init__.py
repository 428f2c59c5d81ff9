"""Peers of the benchmarks: what a user would write without reviewmill."""
