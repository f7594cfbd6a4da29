"""The course: lessons that run on the CPU without a network connection, and exercises whose answers are checked cell by cell.

A lesson is a file in `course/` with its texts in `texts/`, in English, Russian and Polish.
"""

import importlib
from typing import TYPE_CHECKING

from striate.errors import UsageError, nearest

if TYPE_CHECKING:
    from striate.lessons.lesson import Lesson

# In the order of the course.
NAMES = (
    "convolution",
    "padding",
    "stride",
    "dilation",
    "max_pooling",
    "convolution_matrix",
    "backward",
    "separable",
    "receptive_fields",
    "equivariance",
    "linear_classifier",
    "lenet5",
    "alexnet",
    "losses",
    "learning_rates",
    "dropout",
    "batch_norm",
    "vanishing_gradients",
    "fine_tuning",
    "deconvnet",
    "shortcuts",
    "adversarial",
    "spectrograms",
    "graphs",
)


def find(name: str) -> "Lesson":
    """A lesson by its name.

    Raises:
        UsageError: there is none of this name; the message names those that are near.
    """
    if name not in NAMES:
        raise UsageError(f"no lesson {name!r}; {nearest(name, NAMES)}")
    return importlib.import_module(f"striate.lessons.course.{name}").LESSON


def every() -> "list[Lesson]":
    """All lessons, in the order of the course."""
    return [find(name) for name in NAMES]
