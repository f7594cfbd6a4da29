"""A small run that the tests of this folder share: digits, two epochs, every checkpoint kept."""

import atexit
import tempfile
from functools import cache
from pathlib import Path

import striate


@cache
def trained() -> Path:
    """The run's folder, trained once a process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    run = striate.train(
        "digits",
        net="lenet5",
        epochs=2,
        size=28,
        keep=1000,
        health=10,
        out=Path(folder.name),
        plan="default",
    )
    return run.path
