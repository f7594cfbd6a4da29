"""What all tests share: where the real data are, and one thread less to fight over."""

import os
from pathlib import Path

import pytest


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
