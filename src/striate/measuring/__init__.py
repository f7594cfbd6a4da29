"""The workshop behind `striate measure`: shapes, parameters, costs and receptive fields of any net, and its faults."""

from striate.measuring.comparison import Comparison, Mlp, to_mlp
from striate.measuring.effective import Effective, effective
from striate.measuring.explain import Explanation, Walk, explain
from striate.measuring.fields import Field, Unread
from striate.measuring.finding import Finding, Unfinished
from striate.measuring.inputs import read_shape
from striate.measuring.measure import measure
from striate.measuring.reach import Reach, reach
from striate.measuring.receipt import Cost, training_cost
from striate.measuring.sheet import Layer, Sheet, Totals
from striate.measuring.with_data import dead_units, wrong_normalisation

# `striate.measure` is what people import: the arithmetic of one number is found beside the sheet.
measure.explain = explain  # pyright: ignore[reportFunctionMemberAccess]

__all__ = [
    "Comparison", "Cost", "Effective", "Explanation", "Field", "Finding", "Layer", "Mlp", "Reach", "Sheet",
    "Totals", "Unfinished", "Unread", "Walk", "dead_units", "effective", "explain", "measure", "reach", "read_shape", "to_mlp",
    "training_cost", "wrong_normalisation",
]  # fmt: skip
