"""The workshop behind `striate measure`: shapes, parameters, connections, multiply-adds and bytes of any net."""

from striate.measuring.comparison import Comparison, Mlp, to_mlp
from striate.measuring.explain import Explanation, Walk, explain
from striate.measuring.inputs import read_shape
from striate.measuring.measure import measure
from striate.measuring.receipt import Cost, training_cost
from striate.measuring.sheet import Layer, Sheet, Totals

# `striate.measure` is what people import: the arithmetic of one number is found beside the sheet.
measure.explain = explain  # pyright: ignore[reportFunctionMemberAccess]

__all__ = [
    "Comparison", "Cost", "Explanation", "Layer", "Mlp", "Sheet", "Totals", "Walk", "explain", "measure",
    "read_shape", "to_mlp", "training_cost",
]  # fmt: skip
