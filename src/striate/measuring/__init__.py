"""The workshop behind `striate measure`: shapes, parameters, connections, multiply-adds and bytes of any net."""

from striate.measuring.inputs import read_shape
from striate.measuring.measure import measure
from striate.measuring.sheet import Layer, Sheet, Totals

__all__ = ["Layer", "Sheet", "Totals", "measure", "read_shape"]
