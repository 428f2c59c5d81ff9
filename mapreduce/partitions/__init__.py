"""Partitions: rows of many tasks, de-duplicated, split and summed up."""
