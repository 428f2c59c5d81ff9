"""Runs that go on after they were killed: `prepare --resume`."""
