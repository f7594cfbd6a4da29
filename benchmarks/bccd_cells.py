"""Classification with localisation on real cells: pictures cut around random cells of BCCD, learned by the default recipe.

    python benchmarks/bccd_cells.py DATA/bccd [--side 32] [--each 400] [--budget 4m] [--seeds 0 1 2] [--out FOLDER]

Of every class as many cells as there are, of the most frequent one at random no more than of the others. A window of 1.25 to 2
times the longer side of a cell lies at random around it, wholly within the picture where that is possible, so that the place
and the size of the box vary; it is brought to SIDE x SIDE pixels and written as Pascal VOC with one object a picture. The
splits are those of BCCD, so that no picture is in two. Boxes without area, of which BCCD has two, are left out.

Printed are accuracy, balanced accuracy and IoU of the test cells with 95 % intervals, what the constant answer would score (the
most frequent class and the mean box of the training cells), and by how many points the net is above it. Exit status 1 where
that is under 20 in balanced accuracy or IoU.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from PIL import Image

import striate

LEAST = 20  # points above the constant answer
SPLITS = ("train", "val", "test")
LOOSE, TIGHT = 2.0, 1.25  # window over the longer side of a cell


class Cell(NamedTuple):
    """A cell of a picture, its box as edges in pixels."""

    stem: str
    label: str
    box: tuple[float, float, float, float]


def cells(root: Path, stem: str) -> Iterator[Cell]:
    """The cells of one picture."""
    for node in ElementTree.parse(root / "Annotations" / f"{stem}.xml").iter("object"):  # noqa: S314 - of the set itself
        low_x, low_y, high_x, high_y = (
            float(node.findtext(f"bndbox/{side}", "0")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        if high_x > low_x and high_y > low_y:
            yield Cell(stem, node.findtext("name", ""), (low_x - 1, low_y - 1, high_x, high_y))


def drawn(found: Sequence[Cell], each: int, rng: np.random.Generator) -> list[Cell]:
    """As many of every class as of the second most frequent one, at most `each`, at random."""
    by_label: dict[str, list[Cell]] = {}
    for cell in found:
        by_label.setdefault(cell.label, []).append(cell)
    most = min(each, sorted(map(len, by_label.values()))[-2])
    return [
        held[i]
        for _, held in sorted(by_label.items())
        for i in rng.permutation(len(held))[:most].tolist()
    ]


def window(cell: Cell, size: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    """Left, top and side of a square around a cell, within a picture of width and height."""
    x0, y0, x1, y1 = cell.box
    side = round(max(x1 - x0, y1 - y0) * rng.uniform(TIGHT, LOOSE))
    side = max(8, min(side, *size))
    ends = ((x0, x1, size[0]), (y0, y1, size[1]))
    left, top = (
        int(np.clip(rng.uniform(high - side, low), 0, whole - side)) for low, high, whole in ends
    )
    return left, top, side


def write(root: Path, out: Path, *, side: int, each: int, seed: int) -> None:
    """Cut cells of every split, as Pascal VOC."""
    rng = np.random.default_rng(seed)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (out / name).mkdir(parents=True)
    for split in SPLITS:
        stems = (root / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
        found = drawn([c for stem in stems for c in cells(root, stem)], each, rng)
        names: list[str] = []
        for k, cell in enumerate(found):
            picture = Image.open(root / "JPEGImages" / f"{cell.stem}.jpg")
            left, top, across = window(cell, picture.size, rng)
            names.append(f"{cell.stem}_{k:04d}")
            cut = picture.crop((left, top, left + across, top + across)).resize((side, side))
            cut.save(out / "JPEGImages" / f"{names[-1]}.png")
            xml = annotation(cell, (left, top), side / across, side)
            (out / "Annotations" / f"{names[-1]}.xml").write_text(xml)
        (out / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")


def annotation(cell: Cell, corner: tuple[int, int], scale: float, side: int) -> str:
    """The XML of one cut: its box from the first to the last pixel, counted from 1."""
    left, top = corner
    moved = [(at - (left, top)[i % 2]) * scale for i, at in enumerate(cell.box)]
    ends = [round(min(max(at, 0), side)) for at in moved]
    low_x, low_y = ends[0] + 1, ends[1] + 1
    high_x, high_y = max(ends[2], low_x + 1), max(ends[3], low_y + 1)
    box = f"<xmin>{low_x}</xmin><ymin>{low_y}</ymin><xmax>{high_x}</xmax><ymax>{high_y}</ymax>"
    size = f"<size><width>{side}</width><height>{side}</height><depth>3</depth></size>"
    return f"<annotation>{size}<object><name>{cell.label}</name><bndbox>{box}</bndbox></object></annotation>\n"


def constant(cut: Path) -> tuple[str, float, float, float]:
    """The most frequent class of the test cells, its accuracy and balanced accuracy, and the IoU of the mean box, by numpy."""
    data = striate.open(cut, task="localise")
    boxes = {
        name: np.array([split.targets.truth(i).boxes[0] for i in range(len(split))])
        for name, split in data.splits.items()
    }
    mean, truth = boxes["train"].mean(0), boxes["test"]
    shared = np.minimum(mean[2:], truth[:, 2:]) - np.maximum(mean[:2], truth[:, :2])
    both = shared.clip(0).prod(1)
    areas = [np.prod(b[..., 2:] - b[..., :2], axis=-1) for b in (mean, truth)]
    counts = data.counts("test") or [1]
    iou = float((both / (areas[0] + areas[1] - both)).mean())
    label = data.classes[int(np.argmax(counts))]
    return label, max(counts) / sum(counts), 1 / sum(n > 0 for n in counts), iou


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--each", type=int, default=400)
    parser.add_argument("--budget")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as made:
        out = asked.out or Path(made)
        cut = out / "cells"
        write(asked.data, cut, side=asked.side, each=asked.each, seed=0)
        print(striate.open(cut, task="localise").as_text())
        label, accuracy, balanced, iou = constant(cut)
        print(
            f"constant answer ({label}, mean box): accuracy {accuracy:.1%}, balanced accuracy {balanced:.1%}, IoU {iou:.1%}"
        )
        enough = True
        for seed in asked.seeds:
            more = {"budget": asked.budget} if asked.budget else {}
            run = striate.train(cut, out=out, task="localise", seed=seed, **more)
            scores = run.evaluate(split="test").scores
            print(f"seed {seed}: {run.summary['net']}, {run.summary['seconds']:.0f} s")
            for name, base in (
                ("accuracy", accuracy),
                ("balanced_accuracy", balanced),
                ("iou", iou),
            ):
                found = scores[name]
                above = 100 * (found.value - base)
                enough &= name == "accuracy" or above >= LEAST
                print(
                    f"  {name}: {found.value:.1%} ({found.low:.1%} - {found.high:.1%}), {above:+.1f} points over the constant answer"
                )
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
