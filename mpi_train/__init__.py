"""Synchronous training on any number of workers: a store in, a run folder and a model out."""
