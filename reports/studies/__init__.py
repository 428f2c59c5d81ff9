"""Pages about studies of several trainings."""
