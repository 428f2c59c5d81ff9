"""Analysis of the results of a comparison: learning curves, likely wrong labels."""
