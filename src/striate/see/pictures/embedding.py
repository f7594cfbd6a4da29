"""Items as points in a plane: near each other where the net's last layer reads much the same."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from striate import svg
from striate.data import Data
from striate.errors import ArgumentError
from striate.result import Result, text_table
from striate.runs import Run
from striate.see import features as room
from striate.see import paint
from striate.text import percent, plain, short

SIDE = 640  # pixels of the plane
MOST = 1000  # items that are shown
THUMB = 64  # pixels of a picture on hover

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Embedding(Result):
    """Points [N, 2] of items.

    Attributes:
        points: their places.
        names: of the items.
        labels: class numbers [N]; zeros where items have none.
        classes: their names.
        pixels: of the items, uint8 [H, W, 3].
        method: pca or tsne.
        kept: the share of the features' variance that the plane keeps; nan of tsne.
        of: how many items there were.
    """

    points: F64 = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    pixels: tuple[paint.Pixels, ...] = field(repr=False)
    method: str
    kept: float
    of: int

    def as_dict(self) -> dict[str, Any]:
        """Every point."""
        rows = zip(self.names, self.points.tolist(), self.labels.tolist(), strict=True)
        return {
            "method": self.method,
            "kept": None if np.isnan(self.kept) else self.kept,
            "of": self.of,
            "points": [
                {"file": name, "x": x, "y": y, "label": self.classes[k] if self.classes else None}
                for name, (x, y), k in rows
            ],
        }

    def as_text(self) -> str:
        """Where each class lies."""
        rows: list[list[object]] = []
        for k, name in enumerate(self.classes or ("all",)):
            of = self.points[self.labels == k]
            if len(of):
                rows.append(
                    [name, len(of), *(f"{value:.2f}" for value in (*of.mean(0), *of.std(0)))]
                )
        table = text_table(["class", "items", "x", "y", "spread x", "spread y"], rows)
        return f"{self._title()}\n\n{table}"

    def as_svg(self) -> str:
        """The plane; a picture stands beside the point that the pointer rests on."""
        low, high = self.points.min(0), self.points.max(0)
        share = (self.points - low) / np.where(high > low, high - low, 1)
        places = 16 + share * (SIDE - 32)
        dots = "".join(self._dot(i, *place) for i, place in enumerate(places.tolist()))
        head = svg.text(self._title(), 8, 18, "title")
        legend = "".join(
            svg.tag(
                "g",
                svg.tag(
                    "circle", "", {"cx": SIDE + 20, "cy": 40 + 18 * k, "r": 5, "fill": _colour(k)}
                )
                + svg.text(short(name, 20), SIDE + 32, 44 + 18 * k),
            )
            for k, name in enumerate(self.classes[:30])
        )
        moved = svg.tag("g", dots, {"transform": "translate(0 28)"})
        height = max(SIDE + 40, 60 + 18 * min(30, len(self.classes)))
        return svg.drawing(head + legend + moved, SIDE + 190, height, self._title(), STYLE)

    def _repr_html_(self) -> str:
        return self.as_svg()

    def _dot(self, i: int, x: float, y: float) -> str:
        from PIL import Image

        label = self.classes[int(self.labels[i])] if self.classes else ""
        tip = svg.tip(f"{self.names[i]} {label}".strip())
        dot = svg.tag(
            "circle", "", {"cx": x, "cy": y, "r": 4, "fill": _colour(int(self.labels[i]))}
        )
        picture = paint.data_uri(Image.fromarray(_thumb(self.pixels[i])))
        place = {
            "x": min(x + 8, SIDE - THUMB),
            "y": min(y + 8, SIDE - THUMB),
            "width": THUMB,
            "height": THUMB,
        }
        image = svg.tag("image", "", {"href": picture, **place})
        return svg.tag("g", tip + dot + image, {"class": "dot", "tabindex": 0})

    def _title(self) -> str:
        kept = "" if np.isnan(self.kept) else plain(f", {percent(self.kept)} of the variance kept")
        how = {"pca": "principal components", "tsne": "t-SNE"}[self.method]
        return (
            f"{len(self.names):,} of {self.of:,} items by {how} of what the last layer reads{kept}"
        )


STYLE = (
    ".drawing .dot image{display:none;image-rendering:pixelated;pointer-events:none}"
    ".drawing .dot:hover image,.drawing .dot:focus image{display:inline}"
    ".drawing .dot:hover circle,.drawing .dot:focus circle{stroke:var(--ink);stroke-width:2}"
    ".drawing .dot{outline:none}"
)


def embedding(
    run: Run,
    data: Data | None = None,
    *,
    split: str | None = None,
    method: Literal["pca", "tsne"] = "pca",
    limit: int = MOST,
    seed: int = 0,
) -> Embedding:
    """Items in the plane, by what the net's last layer reads of them.

    Principal components at once; t-SNE (van der Maaten and Hinton 2008) by scikit-learn, which keeps neighbourhoods and
    neither distances nor sizes of groups.

    Args:
        run: a trained run.
        data: whose items are shown; those of the run if not given.
        split: which of them; if not given test, else val, else the first there is, which the run may have learned from.
        method: pca or tsne.
        limit: items at most; of more a random part is shown.
        seed: of that part, and of t-SNE.

    Raises:
        ArgumentError: no such split, fewer than 5 items, or the last layer reads no vector an item.
    """
    opened = run.opened() if data is None else data
    name = split or opened.judged
    arrays, key = room.stored(run, opened, name)
    if len(arrays) < 5 or limit < 5:
        raise ArgumentError(f"{min(len(arrays), limit)} items: expected at least 5")
    rng = np.random.default_rng(seed)
    index = np.arange(len(arrays))
    if len(index) > limit:
        index = np.sort(rng.choice(index, limit, replace=False))
    known = room.features(run, arrays, key, index=index)
    points, kept = _plane(np.asarray(known, np.float64), method, seed)
    labelled = opened.kind in ("label", "box")
    strata = opened.splits[name].labels[arrays.numbers[index]]
    return Embedding(
        points,
        tuple(arrays.names[int(i)] for i in index),
        strata if labelled else np.zeros_like(strata),
        tuple(opened.classes) if labelled else (),
        tuple(paint.as_rgb(np.asarray(arrays.inputs[int(i)])) for i in index),
        method,
        kept,
        len(arrays),
    )


def _plane(x: F64, method: str, seed: int) -> tuple[F64, float]:
    from sklearn.decomposition import PCA

    model = PCA(min(50, *x.shape), random_state=seed)
    low = model.fit_transform(x)
    if method == "pca":
        first = low[:, :2] if low.shape[1] > 1 else np.pad(low, ((0, 0), (0, 1)))
        total = float(x.var(0, ddof=1).sum())
        return first, float(first.var(0, ddof=1).sum()) / total if total else float("nan")
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(x) - 1) / 3)
    return TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(low), float(
        "nan"
    )


def _thumb(pixels: paint.Pixels) -> paint.Pixels:
    """At most 64 pixels a side, so that a page of a thousand stays small."""
    from PIL import Image

    if max(pixels.shape[:2]) <= THUMB:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((THUMB, THUMB))
    return np.asarray(image)


# Okabe and Ito 2008: told apart by colour-blind readers too; further classes come around again.
COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#b58900",
    "#56b4e9",
    "#7a5195",
    "#8c564b",
    "#666666",
    "#17807e",
)


def _colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]
