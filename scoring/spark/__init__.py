"""Scoring on Spark: tasks that write parts, one job over files, and a stream over a folder."""
