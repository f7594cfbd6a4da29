"""Small runs to audit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.runs import Run


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def draw(rng: np.random.Generator, label: str) -> np.ndarray:
    """A grey picture of 28x28: a bar, a box or noise."""
    picture = rng.integers(0, 60, (28, 28), np.uint8)
    top, left = rng.integers(2, 14, 2)
    if label == "bar":
        picture[top : top + 12, left : left + 3] = 220
    elif label == "box":
        picture[top : top + 10, left : left + 10] = 220
    return picture


@pytest.fixture(scope="session")
def clean(tmp_path_factory) -> Path:
    """train/ and test/ of three classes, drawn apart."""
    root = tmp_path_factory.mktemp("clean") / "pictures"
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 20)):
        for label in ("bar", "box", "noise"):
            for i in range(count):
                write(root / split / label / f"{label}{i}{split}.png", draw(rng, label))
    return root


@pytest.fixture(scope="session")
def trained(clean, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    return striate.train(
        clean, net="lenet5", epochs=25, batch=16, out=out, name="a", plan="default"
    )


@pytest.fixture
def own(trained, tmp_path) -> Run:
    """A copy of the run, for tests that write beside it."""
    return Run.load(shutil.copytree(trained.path, tmp_path / "run"))


@pytest.fixture
def leaking(clean, tmp_path) -> Path:
    """The same pictures, to put something wrong into."""
    return shutil.copytree(clean, tmp_path / "pictures")
