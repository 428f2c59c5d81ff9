"""Pages about several trainings, and parts of the pages of a run and a store."""
