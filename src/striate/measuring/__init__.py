"""The workshop behind `striate measure`: shapes, parameters, costs and receptive fields of any net, and its faults."""

from striate.measuring.effective import Effective, effective
from striate.measuring.fields import Field, Unread
from striate.measuring.finding import Finding
from striate.measuring.inputs import read_shape
from striate.measuring.measure import measure
from striate.measuring.reach import Reach, reach
from striate.measuring.sheet import Layer, Sheet, Totals
from striate.measuring.with_data import dead_units, wrong_normalisation

__all__ = [
    "Effective",
    "Field",
    "Finding",
    "Layer",
    "Reach",
    "Sheet",
    "Totals",
    "Unread",
    "dead_units",
    "effective",
    "measure",
    "reach",
    "read_shape",
    "wrong_normalisation",
]
