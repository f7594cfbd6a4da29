"""All pictures of a run on one page: what it learned, what is in it, where it is wrong."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data.streaming import Streamed
from striate.errors import StriateError
from striate.result import Result, contained, text_table
from striate.runs import Run
from striate.see import features
from striate.see.attribution.section import of_any_net
from striate.see.levels import of_run
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
from striate.see.pictures.templates import templates
from striate.text import times

SHOWN = 4  # held-out items of different classes
MORE = 48  # items among which the strongest patches are looked for


@dataclass(frozen=True, eq=False)
class Album(Result):
    """Pictures by name, and why others could not be made."""

    run: str
    pages: dict[str, Result]
    left_out: dict[str, str]
    note: str = ""  # on the items that are shown

    def as_dict(self) -> dict[str, Any]:
        """What each picture says of itself."""
        return {
            "pictures": {name: each.as_dict() for name, each in self.pages.items()},
            "left_out": self.left_out,
            "note": self.note,
        }

    def as_text(self) -> str:
        """A row a picture."""
        rows = [[name, each.as_text().splitlines()[0]] for name, each in self.pages.items()]
        rows += [[name, f"left out: {why}"] for name, why in self.left_out.items()]
        table = text_table(["picture", "shows"], rows)
        return f"{table}\n\n{self.note}" if self.note else table

    def as_html(self) -> str:
        """One after the other, with links to each."""
        links = " · ".join(f'<a href="#{name}">{name}</a>' for name in self.pages)
        parts = [
            f'<section id="{name}"><h2>{name}</h2>{each.as_html()}</section>'
            for name, each in self.pages.items()
        ]
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<nav>{links}</nav>{note}{''.join(parts)}"

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
    x, more, note = _items(run, seed)
    pre = run.config.preprocessing
    laid = tuple(pre.shape)
    classes = tuple(run.config.classes)
    levels = of_run(pre)
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
        "saliency": lambda: of_any_net(run, x),
        "deconvnet": lambda: deconvnet(run.net, more),
        "maximise": lambda: maximise(run.net, shape=laid, levels=levels, classes=classes),
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
    return Album(str(run.path), pages, left_out, note)


def _items(run: Run, seed: int) -> tuple[Tensor, Tensor, str]:
    """A few held-out items of different classes, and more of them, as the net takes them; and a note on their choice.

    Items of several sizes make no batch: of `MORE` that are drawn those of the commonest size are taken.
    """
    data = run.open_data()
    arrays, _ = features.stored(run, data, data.held_out)
    order = np.random.default_rng(seed).permutation(len(arrays))
    strata = data.splits[data.held_out].labels[arrays.numbers]
    note = ""
    if isinstance(arrays.inputs, Streamed) and arrays.inputs.varied:
        drawn = order[:MORE]
        shapes = [np.shape(arrays.inputs[int(i)]) for i in drawn]
        ((common, count), *others) = Counter(shapes).most_common()
        order = np.array([i for i, shape in zip(drawn, shapes, strict=True) if shape == common])
        if others:
            note = f"The items have several sizes: of {len(drawn)} the {count} of {times(common)} are shown."
    _, first = np.unique(strata[order], return_index=True)
    few = order[np.sort(first)[:SHOWN]] if len(first) > 1 else order[:SHOWN]
    pre = run.config.preprocessing

    def read(index: Any) -> Tensor:
        stored = np.stack([np.asarray(arrays.inputs[int(i)]) for i in index])
        return pre.normalise(pre.centre(torch.from_numpy(stored)))

    return read(few), read(order[:MORE]), note
