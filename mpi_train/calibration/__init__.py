"""Calibration of a trained model: its temperature, what it is worth, and thresholds."""
