"""How kernels became what they are: a layer's kernels at every checkpoint that a run kept, and how far they still moved.

Figure 4 of Zeiler and Fergus 2013, arXiv 1311.2901, shows features over epochs; `keep=1000` keeps every checkpoint.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import ArgumentError
from striate.probe import as_eval, copied, layer_output
from striate.result import text_table
from striate.runs import Run, checkpoint
from striate.see import paint
from striate.see.pictures.kernels import kernels
from striate.see.plates import Plate, Plates, Ramp, Row
from striate.training.state import kept as weights_of

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Moment:
    """One checkpoint: its step, the kernels [O, I, H, W], and their correlation with those at the end."""

    step: int
    weights: F32 = field(repr=False)
    correlation: float
    maps: F32 | None = field(default=None, repr=False)  # of the item that is shown [C, h, w]


@dataclass(frozen=True, eq=False)
class Evolution(Plates):
    """A layer's kernels, or its maps of one item, from the first checkpoint to the last."""

    path: str
    moments: tuple[Moment, ...]
    limit: int

    @property
    def scale(self) -> float:
        """Colours reach from -scale over zero to +scale, the same for every checkpoint."""
        return max(paint.reach(each.weights) for each in self.moments)

    @property
    def signed(self) -> bool:
        """Maps with values below zero, so that their colours are laid around zero."""
        return any(each.maps is not None and bool((each.maps < 0).any()) for each in self.moments)

    def heading(self) -> str:
        """What is shown."""
        what = "maps of one item" if self.moments[0].maps is not None else "kernels"
        return f"{what} of {self.path} at {len(self.moments)} checkpoints, and the correlation of its kernels with the last"

    def ramps(self) -> list[Ramp]:
        """Weights around zero."""
        if self.moments[0].maps is not None:
            unit = f"of the largest {'magnitude' if self.signed else 'value'} of each checkpoint"
            return [
                Ramp("diverging", -1.0, 1.0, unit)
                if self.signed
                else Ramp("sequential", 0.0, 1.0, unit)
            ]
        kind = "grey" if self.moments[0].weights.shape[1] == 3 else "diverging"
        return [Ramp(kind, -self.scale, self.scale, "weight")]

    def remarks(self) -> list[str]:
        """Which part of kernels with several inputs is drawn."""
        inputs = self.moments[0].weights.shape[1]
        if self.moments[0].maps is not None or inputs in (1, 3):
            return []
        return [f"each kernel has {inputs} input channels, of which the first is drawn"]

    def rows(self) -> list[Row]:
        """A row a checkpoint."""
        return [
            Row(
                [Plate(tile) for tile in self._tiles(each)],
                f"step {each.step}, correlation {each.correlation:.3f}",
            )
            for each in self.moments
        ]

    def _tiles(self, each: Moment) -> list[paint.Pixels]:
        if each.maps is not None:
            colours = paint.diverging if self.signed else paint.sequential
            return list(colours(each.maps[: self.limit], paint.reach(each.maps)))
        shown = each.weights[: self.limit]
        if shown.shape[1] == 3:
            return list(paint.colour(shown.transpose(0, 2, 3, 1), self.scale))
        return list(paint.diverging(shown[:, 0], self.scale))

    def as_dict(self) -> dict[str, Any]:
        """Steps and correlations."""
        return {
            "path": self.path,
            "checkpoints": [
                {"step": each.step, "correlation": each.correlation} for each in self.moments
            ],
        }

    def as_text(self) -> str:
        """A row a checkpoint."""
        rows = [
            [each.step, f"{each.correlation:.4f}", f"{np.linalg.norm(each.weights):.3f}"]
            for each in self.moments
        ]
        return (
            f"{self.heading()}\n\n{text_table(['step', 'correlation with the last', 'norm'], rows)}"
        )


def evolution(
    run: Run, *, layer: str | None = None, item: int | None = None, limit: int = 16
) -> Evolution:
    """A layer over the checkpoints of a run: its kernels, or with `item` its maps of one held-out item.

    Args:
        run: a trained run; `keep=1000` in its training keeps every checkpoint, else there are the newest two and the best.
        layer: by its name; the first convolution if not given.
        item: the number of a held-out item whose maps are shown in place of the kernels.
        limit: kernels or maps of each checkpoint.

    Raises:
        ArgumentError: no such layer or item, or no checkpoint.
        CheckpointError: a checkpoint is damaged.
    """
    if limit < 1:
        raise ArgumentError(f"limit={limit}: expected at least 1")
    folders = sorted((run.path / "checkpoints").glob("step-*"))
    if not folders:
        raise ArgumentError(f"{run.path} kept no checkpoint")
    x = None if item is None else _item(run, item)
    twin = copied(run.net, "cpu")
    laid = run.config.preprocessing.shape
    shape = (laid[0], laid[1], laid[2]) if len(laid) == 3 else None
    found: list[tuple[int, F32, F32 | None]] = []
    path = ""
    for folder in folders:
        saved = checkpoint.load(folder)
        twin.load_state_dict(weights_of(saved.tensors))
        seen = kernels(twin, layer, limit=1_000_000, shape=shape)
        path = seen.path
        found.append((saved.step, seen.weights.copy(), None if x is None else _maps(twin, path, x)))
    last = found[-1][1]
    return Evolution(
        path,
        tuple(Moment(step, w, _correlation(w, last), maps) for step, w, maps in found),
        limit,
    )


def _correlation(a: F32, b: F32) -> float:
    if np.array_equal(a, b):
        return 1.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _item(run: Run, number: int) -> Tensor:
    data = run.open_data()
    arrays = run.config.preprocessing.matched(data).arrays(
        data.held_out, form=run.config.preprocessing.form
    )
    if not 0 <= number < len(arrays):
        raise ArgumentError(f"item={number}: there are items 0 to {len(arrays) - 1}")
    pre = run.config.preprocessing
    stored = torch.from_numpy(np.array(arrays.inputs[number : number + 1]))
    return pre.normalise(pre.centre(stored))


def _maps(net: torch.nn.Module, path: str, x: Tensor) -> F32:
    with as_eval(net), torch.no_grad():
        maps = layer_output(net, path, x)[0].float()
    if maps.ndim != 3:
        raise ArgumentError(
            f"{path}: gives {tuple(maps.shape)}, expected maps (channels, height, width)"
        )
    return maps.numpy()
