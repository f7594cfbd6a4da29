"""Weights people already have: found, fetched, read without running code, and put into a net by name.

`build` is `models.catalog.build` with `weights=`; `load` puts weights into any net.
"""

from striate.weights.loading import Loaded, build, load, load_part
from striate.weights.published import PUBLISHED, Published

__all__ = ["PUBLISHED", "Loaded", "Published", "build", "load", "load_part"]
