"""A training of a small net on generated pictures, run by test_ranks.py in one process or in several.

`python in_ranks.py FOLDER SETTINGS` with the environment that a launcher gives; the first process leaves
`weights.safetensors` and `rows.json`, each one the numbers of its items in `items-RANK.json`. With `until` it
ends at that step with a checkpoint in FOLDER, with `begun` it goes on from the one in that folder.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from striate.inputs import Pictures
from striate.plan import Plan
from striate.runs import checkpoint
from striate.tasks.classify import Classify
from striate.training import distributed, loop, read_recipe
from striate.training.batches import Batches
from striate.training.failures import Guard, Interrupt
from striate.training.logs import Health
from striate.training.state import State


class Kept(Batches):
    """Batches that note which items were taken."""

    def take(self, index, epoch, step, *, plain=False):
        TAKEN.append(index.tolist())
        return super().take(index, epoch, step, plain=plain)


class In(nn.Module):
    """Pictures in the precision of a test."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


class Idle(nn.Module):
    """A layer of which nothing depends, as nets of a user's own may have."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return x


class Breaks(nn.Module):
    """No number at one step of one process, the last one."""

    def __init__(self, at):
        super().__init__()
        self.at, self.passes = at, 0

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.passes += 1
        last = os.environ.get("RANK", "0") == str(int(os.environ.get("WORLD_SIZE", "1")) - 1)
        return x * torch.nan if last and self.passes == self.at else x


class EnoughError(Exception):
    """The steps that were interrupt for are taken."""


TAKEN: list[list[int]] = []


def net(dtype, *, norm, broken):
    layers = [
        Breaks(broken),
        nn.Conv2d(1, 4, 3),
        *([nn.BatchNorm2d(4)] if norm else []),
        nn.Tanh(),
        Idle(),
    ]
    made = nn.Sequential(In(dtype), *layers, nn.Flatten(), nn.Linear(144, 3))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) / 4)
    return made.to(dtype)


def pictures(n, batch, augment):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 8, 8, 1), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 3, (n,), generator=generator)
    pre = Pictures((8, 8), (8, 8), "grey", (128.0,), (64.0,))
    return Kept(images, labels, pre, batch, augment, 0)


def leave(out: Path, state: State, rows: list[dict[str, float]], until: int) -> None:
    if until:
        checkpoint.save(out, checkpoint.Checkpoint(until, state.tensors(), state.memory()))
    (out / "rows.json").write_text(json.dumps(rows))
    state.opt.zero_grad()
    safetensors.torch.save_file(state.net.state_dict(), out / "weights.safetensors")


def main(out: Path, given: dict[str, Any]) -> None:
    """Train, and leave what became of it."""
    n, norm = given.pop("items"), given.pop("norm", False)
    broken = given.pop("broken", 0)
    dtype = getattr(torch, given.pop("dtype"))
    weights = given.pop("weights", None)
    until, begun = given.pop("until", 0), given.pop("begun", None)
    recipe = read_recipe("quick", {"weight_decay": 0.01, **given})
    batches = pictures(n, recipe.batch or 1, recipe.augment)
    task = Classify(
        ("a", "b", "c"), 0.1, spelled=recipe.loss or "cross_entropy", class_weights=weights
    )
    rows: list[dict[str, float]] = []
    said: list[str] = []
    with distributed.joined() as here:
        trained = net(dtype, norm=norm, broken=broken)
        if not here.first:  # what the first has is what counts
            with torch.no_grad():
                for p in trained.parameters():
                    p.zero_()
        found = checkpoint.newest(Path(begun))[0] if begun and here.first else None
        found = here.same(found, trained)
        state = State.begin(trained, recipe, Plan())
        if found:
            state.restore(found.step, found.tensors, found.state)
        kept = {k: t.clone() for k, t in state.tensors().items()}, state.memory()
        guard = Guard(
            recipe.on_nan,
            say=said.append,
            back=lambda state: state.restore(0, *kept),
        )
        heard = here.listen(Interrupt(), lambda: 0.0)
        setting = loop.Setting(
            batches, task, recipe, Plan(), Health(out, 0, Plan(), print), heard.spent, guard, here
        )

        def after_epoch(state: State, _epoch: int) -> None:
            sums = state.totals
            rows.append(
                {
                    "items": sums.items,
                    "right": sums.counts["accuracy"],
                    "loss": sums.loss / sums.items,
                }
            )

        def after_step(state: State) -> None:
            if state.step == 1:
                (out / f"began-{here.rank}").touch()
            if state.step == until:
                raise EnoughError

        with contextlib.suppress(EnoughError):
            loop.run(state, setting, after_step=after_step, after_epoch=after_epoch)
        (out / f"items-{here.rank}.json").write_text(json.dumps(TAKEN))
        (out / f"said-{here.rank}.json").write_text(json.dumps(said))
        if here.first:
            leave(out, state, rows, until)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
