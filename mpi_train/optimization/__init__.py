"""Optimization: losses, optimizers, learning rate schedules, weight averages, teachers."""
