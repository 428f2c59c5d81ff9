"""Scoring: a trained model says what it thinks of texts, of files and over HTTP; no torch.

    from scoring import load

    model = load("run")
    model(["A fine kettle.", "It broke."]).labels
"""

from scoring.predictor import Predictions, Predictor, load

__all__ = ["Predictions", "Predictor", "load"]
