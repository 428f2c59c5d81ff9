"""Synchronous training on any number of workers: a store in, a run folder and a model out."""

import os

# Threads of OpenMP spin while they wait for each other, which beside any other load costs more
# than ten times the work. They read this when torch is loaded, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
