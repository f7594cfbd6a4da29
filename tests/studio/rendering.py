"""The page's arithmetic once more in Python: colours of maps, tiles, strokes. `python tests/studio/rendering.py` writes the golden files."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
LEVELS = 255
PALETTES = {
    "light": {
        "one": [(255, 255, 255), (188, 217, 243), (101, 163, 219), (11, 92, 173), (5, 40, 84)],
        "two": [
            (110, 50, 0),
            (214, 120, 30),
            (250, 205, 150),
            (255, 255, 255),
            (170, 208, 242),
            (50, 125, 200),
            (5, 50, 105),
        ],
        "gap": (213, 218, 224),
        "none": (150, 150, 150),
    },
    "dark": {
        "one": [(20, 23, 27), (22, 58, 98), (38, 110, 180), (108, 178, 255), (232, 244, 255)],
        "two": [
            (255, 226, 180),
            (255, 180, 84),
            (130, 80, 20),
            (20, 23, 27),
            (24, 76, 130),
            (108, 178, 255),
            (215, 235, 255),
        ],
        "gap": (52, 59, 68),
        "none": (110, 110, 110),
    },
}


def rounded(values: np.ndarray) -> np.ndarray:
    """Halves up, as the page rounds."""
    return np.floor(values + 0.5)


def ramp(theme: str, two: bool) -> np.ndarray:
    """[LEVELS, 3] colours through the anchors."""
    anchors = np.array(PALETTES[theme]["two" if two else "one"], dtype=float)
    at = np.arange(LEVELS) * (len(anchors) - 1) / (LEVELS - 1)
    low = np.minimum(np.floor(at), len(anchors) - 2).astype(int)
    mixed = anchors[low] + (anchors[low + 1] - anchors[low]) * (at - low)[:, None]
    return rounded(mixed).astype(np.uint8)


def levels(values: np.ndarray, lo: float, hi: float) -> np.ndarray:
    """The level of each value in a range; the middle one is zero where the range reaches below it."""
    half = (LEVELS - 1) / 2
    if lo < 0:
        level = half + half * values / max(-lo, hi)
    elif hi > lo:
        level = (LEVELS - 1) * (values - lo) / (hi - lo)
    else:
        level = np.zeros_like(values)
    return np.clip(rounded(level), 0, LEVELS - 1).astype(int)


def table(own: tuple[float, float], shown: tuple[float, float], theme: str) -> np.ndarray:
    """[256, 3] colours of the steps of a map whose values run over `own`, within the range `shown`."""
    if not np.isfinite([*own, *shown]).all():
        return np.tile(np.array(PALETTES[theme]["none"], dtype=np.uint8), (256, 1))
    values = own[0] + (own[1] - own[0]) * np.arange(256) / 255
    return ramp(theme, shown[0] < 0)[levels(values, *shown)]


def painted(
    maps: np.ndarray,
    tables: Iterable[np.ndarray],
    order: list[int],
    columns: int,
    zoom: tuple[int, int],
    gap: int,
    theme: str,
) -> np.ndarray:
    """[H, W, 3] picture of all tiles."""
    tables = list(tables)
    _, height, width = maps.shape
    pitch_y, pitch_x = height * zoom[0] + gap, width * zoom[1] + gap
    rows = -(-len(order) // columns)
    picture = np.empty((rows * pitch_y + gap, columns * pitch_x + gap, 3), dtype=np.uint8)
    picture[:] = PALETTES[theme]["gap"]
    for place, channel in enumerate(order):
        tile = tables[channel][maps[channel]].repeat(zoom[0], 0).repeat(zoom[1], 1)
        top, left = (
            gap + (place // columns) * pitch_y,
            gap + (place % columns) * pitch_x,
        )
        picture[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return picture


def shrunk(maps: np.ndarray, factor: int) -> np.ndarray:
    """Means of blocks, those at the edges cut off."""
    count, height, width = maps.shape
    rows, columns = range(0, height, factor), range(0, width, factor)
    means = [
        [maps[:, y : y + factor, x : x + factor].reshape(count, -1).astype(float) for x in columns]
        for y in rows
    ]
    return np.stack([np.stack([rounded(b.mean(1)) for b in line], -1) for line in means], 1).astype(
        np.uint8
    )


def covered(height: int, width: int, line: tuple[float, ...], pen: float) -> np.ndarray:
    """How much of each pixel a line with round ends covers, soft over one pixel."""
    x0, y0, x1, y1 = line
    y, x = np.mgrid[:height, :width] + 0.5
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else np.zeros_like(x)
    away = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    return np.clip(pen / 2 + 0.5 - away, 0, 1).astype(np.float32)


def golden() -> dict[str, object]:
    """All values that the page's own arithmetic is compared with."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (7, 5, 6), dtype=np.uint8)
    lo = np.array([-1, 0, 0, 2, -3, 0, np.nan])
    hi = np.array([1, 2, 0, 5, -1, 0.5, 1])
    out: dict[str, object] = {
        "maps": maps.tolist(),
        "lo": [None if np.isnan(v) else v for v in lo],
        "hi": hi.tolist(),
        "ramps": {t: {str(two): ramp(t, two).tolist() for two in (False, True)} for t in PALETTES},
    }
    order = [4, 2, 0, 6, 1, 3, 5]
    for theme in PALETTES:
        for scale in ("map", "layer"):
            own = list(zip(lo.tolist(), hi.tolist(), strict=True))
            shown = [(-3.0, 5.0)] * 7 if scale == "layer" else own
            tables = [table(a, b, theme) for a, b in zip(own, shown, strict=True)]
            out[f"painted_{theme}_{scale}"] = painted(
                maps, tables, order, 3, (2, 3), 2, theme
            ).tolist()
    out["shrunk"] = shrunk(maps, 2).tolist()
    line = (1.25, 2.5, 7.75, 5.0)
    out["line"], out["covered"] = line, covered(8, 10, line, 2.5).ravel().tolist()
    out["dot"] = covered(8, 10, (3.5, 3.5, 3.5, 3.5), 1.0).ravel().tolist()
    return out


def tensors() -> bytes:
    """A file of the safetensors library with every type that the page reads."""
    from safetensors.numpy import save

    arrays = {
        "u8": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "f32": np.array([0.1, -2.5, np.inf, 3e-40], dtype=np.float32),
        "f64": np.array([1 / 3]),
        "i64": np.array([-5, 2**40]),
        "i32": np.array([[-7]], dtype=np.int32),
        "bool": np.array([True, False]),
        "none": np.zeros((0, 3), dtype=np.float32),
    }
    return save(arrays, {"meta": json.dumps({"layer": "слой", "total": 7})})


def npy() -> bytes:
    """A NumPy file as the library writes it."""
    from io import BytesIO

    file = BytesIO()
    np.save(file, np.array([[1.5, -2.0, 0.25]], dtype=np.float32))
    return file.getvalue()


def files() -> dict[str, bytes]:
    """The golden files."""
    return {
        "core.json": json.dumps(golden(), separators=(",", ":")).encode(),
        "tensors.safetensors": tensors(),
        "array.npy": npy(),
    }


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, content in files().items():
        (GOLDEN / name).write_bytes(content)
