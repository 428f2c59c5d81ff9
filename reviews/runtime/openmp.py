"""OpenMP's waiting: threads that have nothing to do spin for a moment, then sleep."""

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}
"""Variables of the environment that say so, read when torch is loaded.

Of 0, 100, 300, 1,000, 3,000 and 10,000 turns the smallest number with which an update of a
recurrent model on two threads was faster than on one, on two idle virtual cores, which wake slowly
(0.64 s against 0.74 s; with 0, 3 s). Beside two busy processes it took 1.5 times as long as on one
thread, and more turns took longer; OpenMP's own default, to spin on, takes ten times as long there.
"""
