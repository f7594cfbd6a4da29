"""All pictures of a run on one page: what it learned, what is in it, where it is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import StriateError
from striate.result import Result, contained, text_table
from striate.runs import Run
from striate.see import features
from striate.see.attribution.section import WITHOUT_MAPS
from striate.see.pictures.activations import activations
from striate.see.pictures.augmented import augmented
from striate.see.pictures.calibration import calibration
from striate.see.pictures.curves import curves
from striate.see.pictures.deconvnet import deconvnet
from striate.see.pictures.embedding import embedding
from striate.see.pictures.evolution import evolution
from striate.see.pictures.filters import filters
from striate.see.pictures.kernels import kernels
from striate.see.pictures.maps import maps
from striate.see.pictures.maximise import maximise
from striate.see.pictures.mistakes import mistakes
from striate.see.pictures.neighbours import neighbours
from striate.see.pictures.saliency import saliency
from striate.see.pictures.templates import templates

SHOWN = 4  # held-out items of different classes
MORE = 48  # items among which the strongest patches are looked for


@dataclass(frozen=True, eq=False)
class Album(Result):
    """Pictures by name, and why others could not be made."""

    run: str
    pages: dict[str, Result]
    left_out: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """What each picture says of itself."""
        return {
            "pictures": {name: each.as_dict() for name, each in self.pages.items()},
            "left_out": self.left_out,
        }

    def as_text(self) -> str:
        """A row a picture."""
        rows = [[name, each.as_text().splitlines()[0]] for name, each in self.pages.items()]
        rows += [[name, f"left out: {why}"] for name, why in self.left_out.items()]
        return text_table(["picture", "shows"], rows)

    def as_html(self) -> str:
        """One after the other, with links to each."""
        links = " · ".join(f'<a href="#{name}">{name}</a>' for name in self.pages)
        parts = [
            f'<section id="{name}"><h2>{name}</h2>{each.as_html()}</section>'
            for name, each in self.pages.items()
        ]
        return f"<nav>{links}</nav>{''.join(parts)}"

    def _repr_html_(self) -> str:
        return contained(self.as_html())


def album(run: Run, *, seed: int = 0) -> Album:
    """Every picture of a run that its net and its data allow; what cannot be made is named with its reason.

    Args:
        run: a trained run.
        seed: of the choice of items.

    Raises:
        DataError: the run's data are gone or changed.
    """
    x, more = _items(run, seed)
    pre = run.config.preprocessing
    laid = tuple(pre.shape)
    classes = tuple(run.config.classes)
    told = pre.as_dict()
    levels = (
        tuple(tuple(value / 255 for value in told[key]) for key in ("mean", "std"))
        if "mean" in told and pre.modality == "picture"
        else None
    )
    flat = (laid[0], laid[1], laid[2]) if len(laid) == 3 else None
    ways: dict[str, Callable[[], Result]] = {
        "curves": lambda: curves([run]),
        "mistakes": lambda: mistakes(run),
        "calibration": lambda: calibration(run),
        "kernels": lambda: kernels(run.net, shape=flat),
        "filters": lambda: filters(run.net, shape=flat),
        "evolution": lambda: evolution(run),
        "maps": lambda: maps(run.net, x),
        "activations": lambda: activations(run),
        "augmented": lambda: augmented(run, seed=seed),
        "saliency": lambda: _saliency(run, x),
        "deconvnet": lambda: deconvnet(run.net, more),
        "maximise": lambda: maximise(run.net, shape=laid, levels=levels, classes=classes),  # pyright: ignore[reportArgumentType]
        "templates": lambda: templates(run.net, shape=laid, classes=classes),
        "neighbours": lambda: neighbours(run, x),
        "embedding": lambda: embedding(run, limit=400, seed=seed),
    }
    pages: dict[str, Result] = {}
    left_out: dict[str, str] = {}
    for name, make in ways.items():
        try:
            pages[name] = make()
        except StriateError as error:
            left_out[name] = str(error)
    return Album(str(run.path), pages, left_out)


def _saliency(run: Run, x: Tensor) -> Result:
    """By the usual method, or by one that needs no maps."""
    try:
        return saliency(run, x)
    except StriateError:
        return saliency(run, x, method=WITHOUT_MAPS)


def _items(run: Run, seed: int) -> tuple[Tensor, Tensor]:
    """A few held-out items of different classes, and more of them, as the net takes them."""
    data = run.open_data()
    arrays, _ = features.stored(run, data, data.held_out)
    order = np.random.default_rng(seed).permutation(len(arrays))
    strata = data.splits[data.held_out].labels[arrays.numbers]
    _, first = np.unique(strata[order], return_index=True)
    few = order[np.sort(first)[:SHOWN]] if len(first) > 1 else order[:SHOWN]
    pre = run.config.preprocessing

    def read(index: Any) -> Tensor:
        stored = np.stack([np.asarray(arrays.inputs[int(i)]) for i in index])
        return pre.normalise(pre.centre(torch.from_numpy(stored)))

    return read(few), read(order[:MORE])
