"""Striate: a workbench for convolutional networks on PyTorch.

>>> import striate
>>> run = striate.train("digits")  # doctest: +SKIP
>>> run.predict("my-digit.png")  # doctest: +SKIP

Nothing is imported before it is used, so `import striate` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate import see
    from striate.auditing import Audit
    from striate.data import Data, open
    from striate.measuring import Sheet, measure
    from striate.metrics import Scores
    from striate.models.catalog import nets
    from striate.result import Result
    from striate.runs import Prediction, Run
    from striate.studio import studio
    from striate.weights import build
    from striate.workbench import audit, compare, train

__version__ = "0.1.0"

_HOME = {
    "Audit": "striate.auditing",
    "Data": "striate.data",
    "Prediction": "striate.runs",
    "Result": "striate.result",
    "Run": "striate.runs",
    "Scores": "striate.metrics",
    "Sheet": "striate.measuring",
    "audit": "striate.workbench",
    "build": "striate.weights",
    "compare": "striate.workbench",
    "measure": "striate.measuring",
    "nets": "striate.models.catalog",
    "open": "striate.data",
    "train": "striate.workbench",
}

__all__ = [
    "Audit",
    "Data",
    "Prediction",
    "Result",
    "Run",
    "Scores",
    "Sheet",
    "audit",
    "build",
    "compare",
    "measure",
    "nets",
    "open",
    "see",
    "studio",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in ("see", "studio"):  # packages; the second can be called
        return importlib.import_module(f"striate.{name}")
    raise AttributeError(f"module 'striate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
