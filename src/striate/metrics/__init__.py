"""Scores of a trained net, each with its 95 % interval."""

from striate.metrics.classify import score
from striate.metrics.scores import Interval, Scores

__all__ = ["Interval", "Scores", "score"]
