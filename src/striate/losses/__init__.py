"""Losses: what a training makes small."""

from striate.losses.classification import cross_entropy

__all__ = ["cross_entropy"]
