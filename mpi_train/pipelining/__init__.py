"""Recurrent layers on a group of cores of their own, micro-batches pipelined."""
