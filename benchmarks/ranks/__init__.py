"""Programs that the ranks of a benchmark run."""
