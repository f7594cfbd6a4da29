"""Layouts: what the files of a folder are, one file a layout, one table of them all."""

from striate.data.layouts.registry import EXPECTED, LAYOUTS, read

__all__ = ["EXPECTED", "LAYOUTS", "read"]
