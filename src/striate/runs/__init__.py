"""Run folders: what a training leaves behind, and how it is used again."""

from striate.runs.predictions import Prediction
from striate.runs.run import Run

__all__ = ["Prediction", "Run"]
