"""Training items as the net sees them: the random views of a policy, beside what they were made from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from striate.augment import read
from striate.data import Data
from striate.errors import ArgumentError, CheckpointError
from striate.inputs import Views
from striate.result import text_table
from striate.runs import Run
from striate.see import features as room
from striate.see import paint
from striate.see.plates import Plate, Plates, Row


@dataclass(frozen=True, eq=False)
class Augmented(Plates):
    """Items [N] with several views each.

    Attributes:
        names: of the items.
        labels: their classes; () where they have none.
        items: as they are stored, uint8 or float32 [N, H, W, C].
        views: [N][V], values 0 to 255.
        policy: what happened to them, in the words of `augment=`.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    items: tuple[NDArray[Any], ...] = field(repr=False)
    views: tuple[tuple[NDArray[np.float32], ...], ...] = field(repr=False)
    policy: str

    def heading(self) -> str:
        """What is shown."""
        return f"{len(self.names)} training items and {len(self.views[0])} views of each, augment={self.policy}"

    def rows(self) -> list[Row]:
        """A row an item."""
        return [
            Row(
                [
                    Plate(paint.as_rgb(item), self.labels[i] if self.labels else "", self.names[i]),
                    *(Plate(_bytes(view), "", f"view of {self.names[i]}") for view in views),
                ]
            )
            for i, (item, views) in enumerate(zip(self.items, self.views, strict=True))
        ]

    def as_dict(self) -> dict[str, Any]:
        """Which items and which policy, and how far each view is from its item."""
        rows = zip(self.names, self.labels or [None] * len(self.names), self.views, strict=True)
        return {
            "policy": self.policy,
            "views": [
                {"file": name, "label": label, "mean": [float(v.mean()) for v in views]}
                for name, label, views in rows
            ],
        }

    def as_text(self) -> str:
        """A row an item: the mean value of it and of its views."""
        rows = [
            [name, f"{float(np.mean(item)):.1f}", ", ".join(f"{v.mean():.1f}" for v in views)]
            for name, item, views in zip(self.names, self.items, self.views, strict=True)
        ]
        return f"{self.heading()}\n\n{text_table(['item', 'mean value', 'of its views'], rows)}"


def augmented(
    run: Run,
    data: Data | None = None,
    *,
    augment: str | None = None,
    items: int = 6,
    views: int = 7,
    seed: int = 0,
) -> Augmented:
    """Random views of training items, made as the training of the run makes them.

    Args:
        run: a trained run.
        data: whose training items; those of the run if not given.
        augment: another policy, in the words of a recipe; that of the run if not given.
        items: how many.
        views: of each.
        seed: of the choice of items, and of their views.

    Raises:
        ArgumentError: a policy that does not exist, inputs that are no pictures, or no training items.
        CheckpointError: the run does not say how it was trained.
    """
    pre: Any = run.config.preprocessing
    if pre.modality != "picture":
        raise ArgumentError(
            f"augmented: the run reads {pre.noun()}; views of pictures alone are drawn"
        )
    if min(items, views) < 1:
        raise ArgumentError(f"items={items}, views={views}: expected at least 1 of each")
    policy = read(_policy(run.path) if augment is None else augment)
    opened = run.opened() if data is None else data
    arrays, _ = room.stored(run, opened, "train")
    count = min(items, len(arrays))
    index = np.sort(np.random.default_rng(seed).choice(len(arrays), count, replace=False))
    stored = [torch.from_numpy(np.array(arrays.inputs[int(i)])) for i in index]
    found = tuple(
        tuple(_view(pre, each, int(i), policy, seed + v) for v in range(views))
        for i, each in zip(index, stored, strict=True)
    )
    labels = opened.splits["train"].labels[arrays.numbers[index]].tolist()
    return Augmented(
        tuple(arrays.names[int(i)] for i in index),
        tuple(opened.classes[k] for k in labels) if opened.kind == "label" else (),
        tuple(each.numpy() for each in stored),
        found,
        policy.text or "none",
    )


def _view(pre: Any, stored: torch.Tensor, item: int, policy: Any, seed: int) -> NDArray[np.float32]:
    """One view [H, W, C] of values 0 to 255."""
    views = Views(
        "label", torch.tensor([item]), policy, seed, lambda: torch.Generator().manual_seed(seed)
    )
    seen, _ = pre.view(stored[None], torch.zeros(1, dtype=torch.long), views)
    seen = seen.float()
    return (seen[0] if seen.shape[-1] in (1, 3) else seen[0].permute(1, 2, 0)).numpy()


def _policy(path: Path) -> str:
    try:
        return str(yaml.safe_load((path / "args.yaml").read_text(encoding="utf-8"))["augment"])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CheckpointError(
            f"{path}/args.yaml does not say how the run was trained: {error}"
        ) from error


def _bytes(view: NDArray[np.float32]) -> paint.Pixels:
    return paint.as_rgb(np.rint(view.clip(0, 255)).astype(np.uint8))
