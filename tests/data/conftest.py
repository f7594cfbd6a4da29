"""Small data sets made on the spot: pictures of noise, different for every seed."""

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Encoder = Callable[..., bytes]


def _encoded(
    seed: int = 0, *, size: tuple[int, int] = (12, 10), mode: str = "RGB", kind: str = "PNG"
) -> bytes:
    shape = size if mode == "L" else (*size, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.fixture(scope="session")
def encoded() -> Encoder:
    """Bytes of a picture of noise: encoded(seed, size=(h, w), mode="RGB" | "L", kind="PNG")."""
    return _encoded


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder that everything in this test uses."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("STRIATE_CACHE", str(folder))
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    monkeypatch.delenv("STRIATE_CACHE_GB", raising=False)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Class folders: pictures({"cat": 5, "dog": 4}, below="train") -> the root."""
    made = iter(range(10**6))

    def make(
        counts: dict[str, int], *, below: str = "", root: str = "root", mode: str = "RGB"
    ) -> Path:
        for name, count in counts.items():
            folder = tmp_path / root / below / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(count):
                (folder / f"{i:03}.png").write_bytes(_encoded(next(made), mode=mode))
        return tmp_path / root

    return make


@pytest.fixture
def idx_files() -> Callable[..., None]:
    """The four idx files of 20 + 10 pictures of 6 x 5 in three classes."""

    def make(folder: Path, *, zipped: bool = True, dot: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(3)
        for split, count in (("train", 20), ("t10k", 10)):
            images = rng.integers(0, 256, (count, 6, 5), dtype=np.uint8)
            labels = np.arange(count, dtype=np.uint8) % 3
            for kind, array in (("images", images), ("labels", labels)):
                head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
                data = head + array.tobytes()
                name = f"{split}-{kind}{'.' if dot else '-'}idx{array.ndim}-ubyte"
                (folder / (name + ".gz" * zipped)).write_bytes(
                    gzip.compress(data) if zipped else data
                )

    return make
