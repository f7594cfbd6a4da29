"""Layouts: what the files of a folder are, one file a layout, one table of them all."""

from striate.data.layouts.registry import EXPECTED, LAYOUTS, read
from striate.data.layouts.unlabelled import RECONSTRUCT, of_pictures

__all__ = ["EXPECTED", "LAYOUTS", "RECONSTRUCT", "of_pictures", "read"]
