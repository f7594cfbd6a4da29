"""What all tests share: where the real data are, a cache of their own, a few pictures."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.models.catalog import CATALOG

# One net of each file of networks, the first in the order of the catalogue.
FIRST = set({row.file: row.name for row in reversed(CATALOG.values())}.values())


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what -m does not ask for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the tests with a case a net, one net of each family stays in `make test`; the others are `full`."""
    for item in items:
        if item.get_closest_marker("catalogue") and isinstance(item, pytest.Function):
            nets = CATALOG.keys() & {str(value) for value in item.callspec.params.values()}
            if nets.isdisjoint(FIRST):
                item.add_marker("full")


def _shared() -> Path | None:
    named = os.environ.get("STRIATE_SHARED")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return folder if (folder / "data").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with `data/` and `figures/` beside this repository, or the one in $STRIATE_SHARED."""
    folder = _shared()
    if folder is None:
        pytest.skip(
            "no real data here: set STRIATE_SHARED to the folder that holds data/ and figures/"
        )
    return folder


@pytest.fixture
def gcc() -> None:
    """What torch.compile builds with; a test that needs it may not be left out where CI is set."""
    if shutil.which("g++") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "no g++ here: torch.compile needs it"
        )


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """What a test draws without a generator is the same in any order; $STRIATE_TEST_SEED tries others."""
    torch.manual_seed(int(os.environ.get("STRIATE_TEST_SEED", "0")))  # noqa: TID251


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded pictures of tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three classes, thirty grey pictures of 28x28 each: bars, boxes and noise."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    rng = np.random.default_rng(0)
    for label in ("bar", "box", "noise"):
        (root / label).mkdir(parents=True)
        for i in range(30):
            picture = rng.integers(0, 40, (28, 28), np.uint8)
            top, left = rng.integers(2, 14, 2)
            if label == "bar":
                picture[top : top + 12, left : left + 3] = 220
            elif label == "box":
                picture[top : top + 10, left : left + 10] = 220
            else:
                picture = rng.integers(0, 255, (28, 28), np.uint8)
            Image.fromarray(picture).save(root / label / f"{i:02d}.png")
    return root
