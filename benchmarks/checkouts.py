"""Is a step of training slower in one checkout of this repository than in another? Processor time, in turns.

    python benchmarks/checkouts.py OLD NEW [--only lenet5 --only resnet18 --only tiny] [--rounds 40]

Two processes, one a checkout, live through the whole run on the same core with one thread; each is asked in turn
to train the same small nets with `striate.train`, `plan=default`:

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
from itertools import count, pairwise
from pathlib import Path

import numpy as np
from PIL import Image

CLOSE = 0.03  # of the quartiles, which ends the rounds
LIMIT = 1.02
FEWEST = 7  # rounds
SHARED = {"epochs": 2, "seed": 0, "val": 0.1, "plan": "default", "device": "cpu"}
WORKS = {
    "lenet5": {"size": 28, "batch": 128, "augment": "shift"},
    "resnet18": {"size": 64, "batch": 16, "augment": "resized+flip"},
    "tiny": {"size": 8, "batch": 16, "augment": "none"},
}
PARTS = ("step", "before", "whole")


def make_data(folder: Path) -> None:
    """`lenet5.npz`, `tiny.npz` and the JPEGs of `resnet18/`: noise around a shade a class."""
    rng = np.random.default_rng(0)
    for name, items, side in (("lenet5", 6_400, 28), ("tiny", 4_096, 8)):
        labels = np.arange(items) % 10
        noise = rng.integers(0, 160, (items, side, side))
        images = (noise + 8 * labels[:, None, None]).astype(np.uint8)
        np.savez(folder / f"{name}.npz", x_train=images, y_train=labels)
    for i in range(160):
        label = folder / "resnet18" / "abcd"[i % 4]
        label.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (12, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((96, 96)).save(label / f"{i}.jpg", quality=90)


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
    for number, line in enumerate(sys.stdin):
        print(json.dumps(timed(line.strip(), folder, number)), file=answers, flush=True)


def timed(work: str, folder: Path, number: int) -> dict[str, float]:
    """Processor seconds of one training of a work."""
    import torch

    import striate

    passes: list[tuple[str, float]] = []

    class Watched(torch.nn.Module):
        """A net that notes when it is called, and whether it is to learn."""

        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            learns = self.training and torch.is_grad_enabled()
            passes.append(("learns" if learns else "answers", time.process_time()))
            return self.net(x)

    start = time.process_time()
    source = folder / work if work == "resnet18" else folder / f"{work}.npz"
    out, cache = folder / f"runs-{os.getpid()}", folder / f"cache-{os.getpid()}-{number}"
    settings = {**SHARED, **WORKS[work], "cache": str(cache)}
    striate.train(source, Watched(net(work)), out=out, **settings)
    end = time.process_time()
    items = {"lenet5": 5_760, "resnet18": 144, "tiny": 3_686}[work]
    steps = SHARED["epochs"] * items // WORKS[work]["batch"]
    learnt = [at for kind, at in passes if kind == "learns"][-steps:]
    gaps = [
        later - sooner
        for (kind, sooner), (then, later) in pairwise(passes)
        if kind == then == "learns" and sooner >= learnt[0]
    ]
    return {"step": statistics.mean(gaps), "before": learnt[0] - start, "whole": end - start}


def net(work: str):
    """The net of a work, new."""
    import torch

    import striate

    if work == "tiny":
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    return striate.build(work, num_classes={"lenet5": 10, "resnet18": 4}[work])


# --- Both -----------------------------------------------------------------------------------------


def started(root: Path, folder: Path) -> "subprocess.Popen[str]":
    """The process of a checkout.

    Raises:
        SystemExit: it imports another one.
    """
    own = {"PYTHONPATH": str(root.resolve() / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603 - this very file
        [sys.executable, __file__, "--child", str(folder)],
        env=os.environ | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None if os.environ.get("SHOW") else subprocess.DEVNULL,
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


def rounds(old, new, work: str) -> Iterator[dict[str, list[float]]]:
    """After every round the ratios NEW/OLD of all rounds; which comes first changes."""
    asked(old, work), asked(new, work)
    ratios: dict[str, list[float]] = {part: [] for part in PARTS}
    for number in count():
        times = {process: asked(process, work) for process in ((old, new), (new, old))[number % 2]}
        for part in PARTS:
            ratios[part].append(times[new][part] / times[old][part])
        yield ratios


def compared(old, new, work: str, most: int) -> bool:
    """Print the rows of a work; whether its steps are as fast as before."""
    for ratios in rounds(old, new, work):
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
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        make_data(folder)
        old, new = (stack.enter_context(started(root, folder)) for root in (given.old, given.new))
        fast = [compared(old, new, work, given.rounds) for work in given.only or WORKS]
        for process in (old, new):
            process.stdin.close()
    return int(not all(fast))


if __name__ == "__main__":
    sys.exit(main())
