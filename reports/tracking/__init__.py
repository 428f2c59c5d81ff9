"""Export of a run folder to experiment trackers, while the run goes or afterwards."""
