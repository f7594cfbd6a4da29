"""The workshop behind `striate measure`: shapes, parameters, costs and receptive fields of any net, and its faults."""

from striate.measuring.compare import Comparison, Mlp, to_mlp
from striate.measuring.data_findings import dead_units, wrong_normalisation
from striate.measuring.effective_field import Effective, effective
from striate.measuring.explain import Explanation, Walk, explain
from striate.measuring.fields import Field, Unread
from striate.measuring.findings import Finding
from striate.measuring.inputs import read_argument, read_shape
from striate.measuring.measure import measure
from striate.measuring.shape_errors import Unfinished
from striate.measuring.sheet import Layer, Sheet, Totals
from striate.measuring.sheet_page import page
from striate.measuring.step_cost import Cost, Forecast, forecast, training_cost

# `striate.measure` is what people import: the arithmetic of one number is found beside the sheet.
measure.explain = explain  # pyright: ignore[reportFunctionMemberAccess]

__all__ = [
    "Comparison", "Cost", "Effective", "Explanation", "Field", "Finding", "Forecast", "Layer", "Mlp", "Sheet",
    "Totals", "Unfinished", "Unread", "Walk", "dead_units", "effective", "explain", "forecast", "measure", "page", "read_argument",
    "read_shape",
    "to_mlp", "training_cost", "wrong_normalisation",
]  # fmt: skip
