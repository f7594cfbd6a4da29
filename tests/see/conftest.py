"""Small trained runs to look into."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.runs import Run


@pytest.fixture(scope="session")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return striate.train(
        shapes, net="lenet5", epochs=4, batch=16, out=out, plan="default", augment="flip"
    )


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of noise with labels that an item has none, one or both of."""
    folder = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(0)
    lines = ["file,left,right"]
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (28, 28), np.uint8)).save(folder / f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{i % 2},{i // 2 % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return striate.train(folder, net="lenet5", epochs=1, out=folder / "runs", plan="default")
