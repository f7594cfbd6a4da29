"""Which part of a step is waiting for items, and which is work on them: by a clock that stands still unless it is told."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from striate.inputs import Pictures, Sounds, Volumes
from striate.plan import Plan
from striate.tasks.classify import Classify
from striate.training import batches, loop, read_recipe
from striate.training.batches import Batches
from striate.training.logs import Health
from striate.training.state import State

STORED, MADE, STEP = 8.0, 2.0, 5.0  # seconds that each takes, once


class Clock:
    """Seconds that only `add` moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def add(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    for module in (batches, loop):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=made, monotonic=made))
    return made


def integers(*shape: int, kind: torch.dtype = torch.uint8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, generator=generator).to(kind)


INPUTS = {
    "pictures": (Pictures((8, 8), (8, 8), "grey", (128.0,), (64.0,)), integers(12, 8, 8, 1), "flip"),
    "sounds": (
        Sounds(4000, 400, 400, "mel", 8, (100,), 40, (-3.0,) * 8, (2.0,) * 8),
        integers(12, 400, kind=torch.int16),
        "delay+speed",
    ),
    "volumes": (Volumes((6, 6, 6), (128.0,), (64.0,)), integers(12, 6, 6, 6, 1), "translate:0.3"),
}  # fmt: skip


class Net(nn.Module):
    """A linear layer whose step takes a while."""

    def __init__(self, clock: Clock, values: int) -> None:
        super().__init__()
        self.clock, self.head = clock, nn.Linear(values, 2)

    def forward(self, x):
        self.clock.add(STEP)
        return self.head(x.flatten(1))


def epoch(clock: Clock, made: Batches, path) -> State:
    """One epoch of a net on these batches."""
    values = math.prod(made.preprocessing.shape)
    recipe = read_recipe("quick", {"lr": 0.01, "epochs": 1, "optimizer": "sgd"})
    recipe = recipe.model_copy(update={"augment": made.augment})
    state = State.begin(Net(clock, values), recipe, Plan())
    health = Health(path, 0, Plan(), print)
    setting = loop.Setting(made, Classify(("a", "b")), recipe, Plan(), health, lambda: 0.0)
    loop.run(state, setting, after_epoch=lambda _state, _epoch: False)
    return state


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", INPUTS)
def test_waiting_is_for_items_and_making_batches_of_them_is_work(
    clock, name, late, tmp_path, monkeypatch
):
    pre, stored, augment = INPUTS[name]
    made = Batches(stored, torch.arange(12) % 2, pre, 4, augment, 0)
    normalise = type(pre).normalise

    def working(self, x):
        clock.add(MADE)
        return normalise(self, x)

    monkeypatch.setattr(type(pre), "normalise", working)
    if late:  # as of items that are decoded when they are asked for
        found = Batches.stored

        def waiting(self, *place):
            clock.add(STORED)
            return found(self, *place)

        monkeypatch.setattr(Batches, "stored", waiting)
    totals = epoch(clock, made, tmp_path).totals
    assert totals.items == 12
    assert totals.waited == 3 * STORED * late
    assert totals.prepared == 3 * MADE
    assert totals.seconds == 3 * (STORED * late + MADE + STEP)


def test_what_an_earlier_use_of_the_batches_waited_for_is_not_counted(clock, tmp_path):
    pre, stored, augment = INPUTS["pictures"]
    made = Batches(stored, torch.arange(12) % 2, pre, 4, augment, 0)
    with made.waiting:
        clock.add(100.0)
    assert made.waiting.seconds == 100.0
    assert epoch(clock, replace(made), tmp_path).totals.waited == 0.0
