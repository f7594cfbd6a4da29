"""Scores of a trained net, each with its 95 % interval; meters that add answers up to them, a file a kind of task."""

from striate.metrics.classify import score
from striate.metrics.compare import Difference, paired
from striate.metrics.detect import DetectMeter
from striate.metrics.gain import AveragedScores, Gain, gains
from striate.metrics.reconstruct import ReconstructMeter
from striate.metrics.regress import RegressMeter
from striate.metrics.scores import Interval, Scores
from striate.metrics.segment import SegmentMeter

__all__ = [
    "AveragedScores",
    "DetectMeter",
    "Difference",
    "Gain",
    "Interval",
    "ReconstructMeter",
    "RegressMeter",
    "Scores",
    "SegmentMeter",
    "gains",
    "paired",
    "score",
]
