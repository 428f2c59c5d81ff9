"""Tests of mpi_train.sharding."""
