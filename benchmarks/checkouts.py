"""Is a step of training slower in one checkout of this repository than in another? Processor time, in turns.

    python benchmarks/checkouts.py OLD NEW [--only lenet5 --only resnet18 --only tiny] [--rounds 40]

Two processes, one a checkout, live side by side on the same core with one thread; they are asked in turn to train
the same small nets with `striate.train`, `plan=default`, and are started anew every few rounds:

    lenet5      LeNet-5 on arrays of MNIST's form, batch 128
    resnet18    ResNet-18 at 64 px from JPEGs, batch 16, crops and flips
    tiny        one linear layer on 8 x 8 pixels, batch 16: what surrounds a step

`step` is the processor time from one forward pass of the training to the next: batch, views, forward, loss,
backward, update, metrics, checks and health; held-out items are left out. `before` is what comes before the
first step (opening, decoding into a fresh cache, preparing), `whole` the whole call with its report. A row
gives the median of the ratios NEW/OLD of single rounds and their quartiles; rounds end when the quartiles of
`step` lie within 3 %. Leaves with 1 where the ratio of `step` is above 1.02 plus the distance of its quartiles.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLOSE = 0.03  # of the quartiles, which ends the rounds
LIMIT = 1.02
FEWEST = 8  # rounds
LIFE = 4  # rounds that a process lives: where its memory happens to lie makes it a little faster or slower
PARTS = ("step", "before", "whole")
SHARED = {"epochs": 2, "seed": 0, "val": 0.1, "plan": "default", "device": "cpu"}


@dataclass(frozen=True)
class Work:
    """A small training: pictures of `side` pixels in so many classes."""

    file: str
    items: int
    side: int
    classes: int
    settings: dict[str, Any]

    @property
    def steps(self) -> int:
        """At least so many are taken in all."""
        return SHARED["epochs"] * int(self.items * 0.9) // self.settings["batch"]


WORKS = {
    "lenet5": Work("lenet5.npz", 6_400, 28, 10, {"size": 28, "batch": 128, "augment": "shift"}),
    "resnet18": Work("jpegs", 160, 96, 4, {"size": 64, "batch": 16, "augment": "resized+flip"}),
    "tiny": Work("tiny.npz", 4_096, 8, 10, {"size": 8, "batch": 16, "augment": "none"}),
}


def make_data(folder: Path) -> None:
    """The files of all works: noise around a shade a class."""
    rng = np.random.default_rng(0)
    for work in WORKS.values():
        labels = np.arange(work.items) % work.classes
        noise = rng.integers(0, 160, (work.items, work.side, work.side))
        images = (noise + 8 * labels[:, None, None]).astype(np.uint8)
        if work.file.endswith(".npz"):
            np.savez(folder / work.file, x_train=images, y_train=labels)
            continue
        for i, image in enumerate(images):
            place = folder / work.file / f"class{labels[i]}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).convert("RGB").save(place / f"{i}.jpg", quality=90)


# --- One checkout's side --------------------------------------------------------------------------


def child(folder: Path) -> None:
    """Answer every name of a work on standard input with one line: its times as JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes elsewhere
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    import striate

    torch.set_num_threads(1)
    print(json.dumps(striate.__file__), file=answers, flush=True)
    for line in sys.stdin:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            print(json.dumps(timed(line.strip(), folder, Path(own))), file=answers, flush=True)


def timed(name: str, folder: Path, own: Path) -> dict[str, float]:
    """Processor seconds of one training, of which nothing stays."""
    import torch

    import striate

    passes: list[tuple[bool, float]] = []

    class Watched(torch.nn.Module):
        """A net that notes when it is called, and whether it is to learn."""

        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            passes.append((self.training and torch.is_grad_enabled(), time.process_time()))
            return self.net(x)

    work, net = WORKS[name], Watched(fresh(name))
    start = time.process_time()
    settings = {**SHARED, **work.settings, "cache": str(own / "cache")}
    striate.train(folder / work.file, net, out=own / "runs", **settings)
    end = time.process_time()
    first = [at for learns, at in passes if learns][-work.steps]
    gaps = [
        later - sooner
        for (learns, sooner), (goes_on, later) in pairwise(passes)
        if learns and goes_on and sooner >= first
    ]
    return {"step": statistics.mean(gaps), "before": first - start, "whole": end - start}


def fresh(name: str):
    """The net of a work, the same at every call."""
    import torch

    import striate

    torch.manual_seed(0)  # noqa: TID251 - a process of its own
    if name == "tiny":
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    return striate.build(name, num_classes=WORKS[name].classes)


# --- Both -----------------------------------------------------------------------------------------


def started(root: Path, folder: Path) -> "subprocess.Popen[str]":
    """The process of a checkout.

    Raises:
        SystemExit: it imports another one.
    """
    own = {"PYTHONPATH": str(root.resolve() / "src"), "OMP_NUM_THREADS": "1"}
    own |= {"PYTHONHASHSEED": "0"}
    process = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, __file__, "--child", str(folder)],
        env=os.environ | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    found = json.loads(process.stdout.readline() or '""')
    if not Path(found).is_relative_to(root.resolve() / "src"):
        raise SystemExit(f"{root}: this interpreter imports {found or 'no striate'} instead")
    return process


def asked(process: "subprocess.Popen[str]", work: str) -> dict[str, float]:
    """What a checkout answers."""
    process.stdin.write(f"{work}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def rounds(roots: tuple[Path, Path], folder: Path, work: str) -> Iterator[dict[str, list[float]]]:
    """After every round the ratios NEW/OLD of all rounds; which comes first changes."""
    ratios: dict[str, list[float]] = {part: [] for part in PARTS}
    while True:
        with ExitStack() as stack:
            old, new = (stack.enter_context(started(root, folder)) for root in roots)
            asked(old, work), asked(new, work)
            for number in range(LIFE):
                order = (old, new) if number % 2 else (new, old)
                times = {process: asked(process, work) for process in order}
                for part in PARTS:
                    ratios[part].append(times[new][part] / times[old][part])
                yield ratios


def compared(roots: tuple[Path, Path], folder: Path, work: str, most: int) -> bool:
    """Print the rows of a work; whether its steps are as fast as before."""
    for ratios in rounds(roots, folder, work):
        done = len(ratios["step"])
        if done >= most or (done >= FEWEST and apart(ratios["step"]) <= CLOSE):
            break
    for part in PARTS:
        low, middle, high = statistics.quantiles(ratios[part], n=4)
        row = {"work": work, "of": part, "ratio": round(middle, 3)}
        row |= {"quartiles": [round(low, 3), round(high, 3)], "rounds": done}
        if part == "step":
            row |= {"close": high - low <= CLOSE, "limit": round(LIMIT + high - low, 3)}
        print(json.dumps(row), flush=True)
    return statistics.median(ratios["step"]) <= LIMIT + apart(ratios["step"])


def apart(ratios: list[float]) -> float:
    """How far the quartiles are from each other."""
    low, _, high = statistics.quantiles(ratios, n=4)
    return high - low


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, nargs="?")
    parser.add_argument("new", type=Path, nargs="?")
    parser.add_argument("--only", action="append", choices=WORKS, help="may be given several times")
    parser.add_argument("--rounds", type=int, default=40, help="at most")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child)
    if not given.new:
        parser.error("two checkouts are compared: OLD NEW")
    with tempfile.TemporaryDirectory() as temporary:
        make_data(Path(temporary))
        roots = (given.old, given.new)
        fast = [
            compared(roots, Path(temporary), work, given.rounds) for work in given.only or WORKS
        ]
    return int(not all(fast))


if __name__ == "__main__":
    sys.exit(main())
