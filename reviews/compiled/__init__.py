"""Functions that numba compiles, and machine code of theirs that is called without numba."""
