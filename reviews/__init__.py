"""The shared core: what a review is in each of its forms, from raw record to stored row."""
