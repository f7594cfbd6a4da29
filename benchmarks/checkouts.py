"""Is a step of training slower in one checkout of this repository than in another? Processor time, in turns.

    python benchmarks/checkouts.py OLD NEW [--only lenet5 --only resnet18 --only tiny] [--rounds 60]

Two processes, one a checkout, train the same net side by side on the same core with one thread, by
`striate.train` with `plan=default`; each goes on for a few steps when it is its turn and then waits:

    lenet5      LeNet-5 on arrays of MNIST's form, batch 128, shifts
    resnet18    ResNet-18 at 64 px from JPEGs, batch 16, crops and flips
    tiny        one linear layer on 8 x 8 pixels, batch 16: what surrounds a step

A step is the processor time from one forward pass that learns to the next: batch, views, forward, loss,
backward, update, metrics, checks and health; held-out items and checkpoints are left out. A round is ten turns
of each. A row gives the median of the ratios NEW/OLD of single rounds and their quartiles; rounds end when the
quartiles lie within 3 %, and every eight rounds two new processes begin, since where the memory of a process
happens to lie makes it faster or slower. `before` is the ratio of what comes before the first step, imports,
opening and decoding included. Leaves with 1 where a ratio of steps is above 1.02 plus the distance of its quartiles.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLOSE = 0.03  # of the quartiles, which ends the rounds
LIMIT = 1.02
FEWEST, LIFE = 16, 8  # rounds in all, and of two processes
TURNS = 10  # of each in a round
WARM = 3  # turns that do not count


@dataclass(frozen=True)
class Work:
    """A small training: so many pictures of `side` pixels in so many classes, and steps in a turn."""

    file: str
    items: int
    side: int
    classes: int
    steps: int
    settings: dict[str, Any]


WORKS = {
    "lenet5": Work("mnist.npz", 6_400, 28, 10, 5, {"size": 28, "batch": 128, "augment": "shift"}),
    "resnet18": Work("jpegs", 320, 96, 4, 1, {"size": 64, "batch": 16, "augment": "resized+flip"}),
    "tiny": Work("tiny.npz", 4_096, 8, 10, 50, {"size": 8, "batch": 16, "augment": "none"}),
}


def make_data(work: Work, folder: Path) -> None:
    """Noise around a shade a class."""
    rng = np.random.default_rng(0)
    labels = np.arange(work.items) % work.classes
    noise = rng.integers(0, 160, (work.items, work.side, work.side))
    images = (noise + 8 * labels[:, None, None]).astype(np.uint8)
    if work.file.endswith(".npz"):
        np.savez(folder / work.file, x_train=images, y_train=labels)
        return
    for i, image in enumerate(images):
        place = folder / work.file / f"class{labels[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).convert("RGB").save(place / f"{i}.jpg", quality=90)


# --- One checkout's side --------------------------------------------------------------------------


@dataclass
class Pace:
    """Counts the processor time of steps, and waits for a word after as many as a turn has."""

    steps: int
    tell: Callable[[float], None]
    since: float | None = None  # the last forward pass that learns, if nothing else came after it
    taken: list[float] = field(default_factory=list)

    def step(self, *, learns: bool) -> None:
        now = time.process_time()
        if learns and self.since is not None:
            self.taken.append(now - self.since)
        if len(self.taken) == self.steps:
            self.tell(sum(self.taken))
            self.taken.clear()
            sys.stdin.readline()
            now = time.process_time()
        self.since = now if learns else None


def child(name: str, folder: Path, own: Path) -> None:
    """Train for ever, in turns; the first line told is the checkout, the second the seconds before the first turn."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed goes elsewhere
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import torch

    import striate

    work = WORKS[name]
    pace = Pace(work.steps, lambda seconds: print(seconds, file=answers, flush=True))

    class Watched(torch.nn.Module):
        """A net that waits for its turn."""

        def __init__(self, net: torch.nn.Module):
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pace.step(learns=self.training and torch.is_grad_enabled())
            return self.net(x)

    torch.set_num_threads(1)
    torch.manual_seed(0)  # noqa: TID251 - a process of its own
    if name == "tiny":
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    else:
        net = striate.build(name, num_classes=work.classes)
    print(striate.__file__, file=answers, flush=True)
    shared = {"epochs": 10_000, "seed": 0, "val": 0.1, "plan": "default", "device": "cpu"}
    places = {"out": own / "runs", "cache": str(own / "cache")}
    striate.train(folder / work.file, Watched(net), **shared, **places, **work.settings)


# --- Both -----------------------------------------------------------------------------------------


class Checkout:
    """A process that trains, and stands still between its turns."""

    def __init__(self, root: Path, name: str, folder: Path, stack: ExitStack) -> None:
        """Begin.

        Raises:
            SystemExit: this interpreter imports another checkout.
        """
        source = root.resolve() / "src"
        own = {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        place = stack.enter_context(tempfile.TemporaryDirectory(dir=folder))
        self.errors = Path(place) / "errors"
        self.process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, __file__, "--child", name, str(folder), place],
            env=os.environ | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context(self.errors.open("w")),
            text=True,
        )
        stack.callback(self.process.wait)
        stack.callback(self.process.kill)
        found = self.process.stdout.readline().strip()
        if not Path(found).is_relative_to(source):
            raise SystemExit(f"{root}: this interpreter imports {found or 'no striate'} instead")
        self.told()
        self.before = self.used()

    def told(self) -> float:
        """Seconds of a turn, when it is over."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a training ended: {self.errors.read_text()[-500:]}")
        return float(line)

    def turn(self) -> float:
        """Seconds of one more turn."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.told()

    def used(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(roots: tuple[Path, Path], name: str, folder: Path) -> Iterator[tuple[float, float]]:
    """Of every round the ratio NEW/OLD of its steps, and of what came before the first."""
    while True:
        with ExitStack() as stack:
            old, new = (Checkout(root, name, folder, stack) for root in roots)
            for _ in range(WARM):
                old.turn(), new.turn()
            for _ in range(LIFE):
                spent = {old: 0.0, new: 0.0}
                for number in range(TURNS):
                    for each in (old, new) if number % 2 else (new, old):
                        spent[each] += each.turn()
                yield spent[new] / spent[old], new.before / old.before


def compared(roots: tuple[Path, Path], name: str, most: int) -> bool:
    """Print the row of a work; whether its steps are as fast as before."""
    steps, before = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        make_data(WORKS[name], Path(folder))
        for step, start in rounds(roots, name, Path(folder)):
            steps.append(step)
            before.append(start)
            low, middle, high = statistics.quantiles(steps * 2, n=4)
            if len(steps) >= most or (len(steps) >= FEWEST and high - low <= CLOSE):
                break
    limit = LIMIT + high - low
    row = {"work": name, "ratio": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
    row |= {"rounds": len(steps), "close": high - low <= CLOSE, "limit": round(limit, 3)}
    print(json.dumps({**row, "before": round(statistics.median(before), 3)}), flush=True)
    return middle <= limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path, nargs="?")
    parser.add_argument("new", type=Path, nargs="?")
    parser.add_argument("--only", action="append", choices=WORKS, help="may be given several times")
    parser.add_argument("--rounds", type=int, default=60, help="at most")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, folder, own = given.child
        child(name, Path(folder), Path(own))
    if not given.new:
        parser.error("two checkouts are compared: OLD NEW")
    roots = (given.old, given.new)
    fast = [compared(roots, name, given.rounds) for name in given.only or WORKS]
    return int(not all(fast))


if __name__ == "__main__":
    sys.exit(main())
