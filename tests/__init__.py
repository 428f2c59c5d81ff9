"""The tests; folders are those of the code."""
