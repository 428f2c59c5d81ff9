"""Balancer: rank timing, water filling, decisions; numpy only."""
