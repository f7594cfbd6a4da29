"""A small trained run to look into."""

from pathlib import Path

import pytest

import striate
from striate.runs import Run


@pytest.fixture(scope="session")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return striate.train(
        shapes, net="lenet5", epochs=4, batch=16, out=out, plan="default", augment="flip"
    )
