"""Tests of mpi_train.pipelining."""
