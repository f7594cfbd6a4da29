"""Series over time: one table [T, N] of T steps and N nodes, when its steps are, the graph of its nodes, its windows."""

from striate.data.series.clock import Clock
from striate.data.series.table import Series
from striate.data.series.windows import Ahead, Window, Windows

__all__ = ["Ahead", "Clock", "Series", "Window", "Windows"]
