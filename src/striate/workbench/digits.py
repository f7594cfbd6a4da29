"""A few answers with their pictures, drawn in letters: the end of the demo."""

import numpy as np
from numpy.typing import NDArray

from striate.runs.items import Held

SHADES = " .:-=+*#%@"
COLUMNS, LINES = 14, 7  # a letter is about twice as high as it is wide


def five(held: Held, *, count: int = 5, seed: int = 0) -> str:
    """Five held-out digits side by side, below each its truth, the answer and its confidence."""
    picked = np.random.default_rng(seed).choice(len(held.rows), count, replace=False).tolist()
    drawings = [drawn(held.arrays.inputs[i]) for i in picked]
    rows = [held.rows[i] for i in picked]
    captions = [
        [f"truth {row['truth']}" for row in rows],
        [f"read  {row['answer']} {float(row['confidence']):.1%}" for row in rows],
    ]
    lines = [*zip(*drawings, strict=True), *captions]
    return "\n".join("   ".join(part.ljust(COLUMNS) for part in line).rstrip() for line in lines)


def drawn(image: NDArray[np.uint8]) -> list[str]:
    """A grey picture [H, W, 1] as lines of letters, brighter where it is brighter."""
    height, width = image.shape[:2]
    rows = np.arange(LINES + 1) * height // LINES
    columns = np.arange(COLUMNS + 1) * width // COLUMNS
    grey = image[..., 0].astype(np.float64)
    blocks = np.add.reduceat(np.add.reduceat(grey, rows[:-1], 0), columns[:-1], 1)
    areas = np.diff(rows)[:, None] * np.diff(columns)
    level = (blocks / areas / 256 * len(SHADES)).astype(int)
    return ["".join(SHADES[value] for value in row) for row in level]
