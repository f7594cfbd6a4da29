"""A task that is none of Striate's, on inputs that are no pictures, without labels: an array to an array.

`python toy.py DATA OUT` trains it in as many processes as a launcher started.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from striate.data.index import Candidate, Listing, Part, numbered
from striate.data.layouts import registry
from striate.data.sources import Values
from striate.data.targets import Array
from striate.metrics import Interval
from striate.tasks import TASKS, Meter, Section, Task


@dataclass(frozen=True)
class Smooth(Task):
    """Series [2, 16] to their running means."""

    name: ClassVar[str] = "smooth"
    kinds: ClassVar[tuple[str, ...]] = ("array",)
    wanted: ClassVar[str] = "series to smooth"
    noun: ClassVar[str] = "series"
    usual_loss: ClassVar[str] = "l2"
    loss_names: ClassVar[tuple[str, ...]] = ("l1", "l2")

    @classmethod
    def of(cls, data, recipe):
        return cls()

    @classmethod
    def restored(cls, classes, config):
        assert config == {"kernel": 3}
        return cls()

    def config(self):
        return {"kernel": 3}

    @classmethod
    def defaults(cls, data, recipe, *, own_net):
        return {"augment": "none", "batch": 8}

    def head(self):
        return {}

    def criterion(self, answer, target):
        return F.mse_loss(answer, target), {}

    def decode(self, outputs, sizes):
        return outputs.float().numpy()

    def item_scores(self, answer, truth):
        return {"mae": float(np.abs(answer - truth).mean())}

    def meter(self, *, whole=False):
        return Errors()

    def answer(self, one):
        return {"series": one.tolist()}

    def sections(self, held):
        worst = int(np.argmax([row["mae"] for row in held.rows]))
        (item,) = held.items([worst])
        return [Section("Worst series", text=f"{item.name} is off by {item.scores['mae']:.3f}")]


class Errors(Meter):
    def __init__(self):
        self.off: list[float] = []

    def add(self, answers, truths):
        self.off += [float(np.abs(a - t).mean()) for a, t in zip(answers, truths, strict=True)]

    def state(self):
        return {"off": np.array(self.off)}

    def merge(self, state):
        self.off += state["off"].tolist()

    def values(self):
        return {"mae": float(np.mean(self.off))}

    def scores(self, groups=None):
        value = self.values()["mae"]
        return {"mae": Interval(value, value * 0.9, value * 1.1)}

    @property
    def merit(self):
        return -self.values()["mae"]


def find(tree) -> Candidate | None:
    """A folder with series.toy: x and y, split by order."""
    path = tree.root / "series.toy"
    if not path.exists():
        return None

    def read() -> Listing:
        with np.load(path) as held:
            x, y = held["x"], held["y"]
        part = Part(numbered("series", len(x)), Array(y), Values(x))
        return Listing("series", (), {"all": part}, task="smooth")

    return Candidate("series", 1, frozenset(["series.toy"]), read, tasks=("smooth",))


def net() -> nn.Module:
    """A convolution of its own first weights, and dropout that changes nothing."""
    made = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 2, 3, padding=1))
    generator = torch.Generator().manual_seed(1)
    for p in made.parameters():
        with torch.no_grad():
            p.copy_(torch.randn(p.shape, generator=generator) / 4)
    return made


def write(folder: Path) -> Path:
    """Forty series and their running means."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).normal(2.0, 3.0, (40, 2, 16)).astype(np.float32)
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1)), mode="edge")
    y = (wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]) / 3
    with (folder / "series.toy").open("wb") as file:
        np.savez(file, x=x, y=y.astype(np.float32))
    return folder


def register() -> None:
    """Make the task and the layout known, as a line in each table would."""
    TASKS["smooth"] = Smooth
    registry.LAYOUTS["toy"] = registry.Layout(find, "a folder with series.toy")


def settings() -> dict[str, Any]:
    return {"epochs": 4, "plan": "default", "lr": 0.01, "optimizer": "adamw", "health": 0}


if __name__ == "__main__":
    register()
    import striate

    striate.train(sys.argv[1], net(), out=sys.argv[2], name="run", **settings())
