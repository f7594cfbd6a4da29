"""`striate demo`: the main job on real handwritten digits, and some of the answers drawn in letters."""

from typing import TYPE_CHECKING

import click

from striate.cli.output import emit, opening, with_json
from striate.text import percent, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from striate.runs.split_answers import Held

SHADES = " .:-=+*#%@"
COLUMNS, LINES = 14, 7  # a letter is about twice as high as it is wide


@click.command()
@with_json
def demo(json: bool) -> None:
    """Train LeNet-5 on real handwritten digits, report, and read five of them."""
    from striate.training import read_recipe
    from striate.workbench import progress
    from striate.workbench.train import train_recipe

    with progress.display() as bars:
        fitted = train_recipe("digits", read_recipe("quick", {"net": "lenet5"}), progress=bars)
    scores = fitted.held.scores
    accuracy = scores.scores["accuracy"]
    report = opening(fitted.run.path / "report.html").lstrip()
    text = (
        f"\n{fitted.run.as_text()}\n\n"
        f"{plain(percent(accuracy.value))} of {scores.items} held-out digits are right "
        f"(95 % interval {plain(percent(accuracy.low))} to {plain(percent(accuracy.high))});\n"
        "the kept epoch was chosen by these same items, which flatters the figure a little\n\n"
        f"{drawn_digits(fitted.held)}\n\n{report}"
    )
    emit(fitted.run.as_dict(), text, json=json)


def drawn_digits(held: "Held") -> str:
    """Five held-out digits side by side, below each its truth, the answer and its confidence."""
    import numpy as np

    picked = np.random.default_rng(0).choice(len(held.rows), 5, replace=False).tolist()
    drawings = [_letters(held.arrays.inputs[i]) for i in picked]
    rows = [held.rows[i] for i in picked]
    captions = [
        [f"truth {row['truth']}" for row in rows],
        [f"read  {row['answer']} {plain(percent(float(row['confidence'])))}" for row in rows],
    ]
    lines = [*zip(*drawings, strict=True), *captions]
    return "\n".join("   ".join(part.ljust(COLUMNS) for part in line).rstrip() for line in lines)


def _letters(image: "NDArray[np.uint8]") -> list[str]:
    """A grey picture [H, W, 1] as lines of letters, brighter where it is brighter."""
    import numpy as np

    height, width = image.shape[:2]
    rows = np.arange(LINES + 1) * height // LINES
    columns = np.arange(COLUMNS + 1) * width // COLUMNS
    grey = image[..., 0].astype(np.float64)
    blocks = np.add.reduceat(np.add.reduceat(grey, rows[:-1], 0), columns[:-1], 1)
    areas = np.diff(rows)[:, None] * np.diff(columns)
    level = (blocks / areas / 256 * len(SHADES)).astype(int)
    return ["".join(SHADES[value] for value in row) for row in level]
