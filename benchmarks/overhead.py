"""What surrounds the steps: metrics, checks, logging, progress, health and checkpoints; and memory.

    python benchmarks/overhead.py [DATA] [--rounds 5] [--epochs 200]

A training with everything on (the loop of `striate train`: a bar that is drawn, health.csv, results.csv, a
checkpoint an epoch) against the same steps alone: batch, forward, loss, backward, update, under the same plan.
An epoch of each in turns; a row gives what is added, as a share of the bare steps (median, quartiles of the
rounds). Answering the held-out items is work the user asked for, so a single one is answered. Then a tiny set
is trained for many epochs and the resident memory told after each tenth of them.
"""

import argparse
import io
import json
import os
import statistics
from dataclasses import replace
from pathlib import Path

import turns
from rich.console import Console

import striate
from striate.data import Arrays
from striate.training import callbacks, loop
from striate.training.record import Progress, Record
from striate.training.state import State
from striate.workbench.progress import draw


class OneHeld(turns.Job):
    """A job that answers one held-out item."""

    def held_out(self) -> Arrays:
        held = super().held_out()
        return replace(
            held, inputs=held.inputs[:1], targets=held.targets[:1], numbers=held.numbers[:1]
        )


def train(job: turns.Job, state: State) -> None:
    """All steps with their callbacks."""
    with callbacks.of_training(job, state, Record(job.path)) as after:
        loop.run(state, after.setting, after_step=after.step, after_epoch=after.epoch)


def whole(job: turns.Job, state: State) -> turns.Call:
    """An epoch with everything on, its bar drawn on a terminal in memory."""
    console = Console(file=io.StringIO(), force_terminal=True)

    def epoch() -> None:
        state.step = 0
        with draw(console) as shown:
            train(OneHeld(**{**vars(job), "progress": shown}), state)

    return epoch


def bare(job: turns.Job, state: State) -> turns.Call:
    """The same epoch's steps and nothing else."""
    net, opt, batches = state.net, state.opt, job.batches

    def epoch() -> None:
        for step, index in enumerate(batches.order(0)):
            x, target = batches.take(index, 0, step)
            opt.zero_grad()
            with job.plan.autocast():
                loss = job.task.criterion(net(job.plan.batch(x)), target)[0]
            loss.backward()
            opt.step()

    return epoch


def added(folder: str, net: str, batch: int, items: int, rounds: int) -> turns.Row:
    """One row."""
    data = striate.open(folder)
    job, state = turns.prepared(data, {"net": net, "epochs": 1, "batch": batch})
    job = turns.first_items(job, items)
    other = State.begin(striate.build(net), job.recipe, job.plan)
    times = turns.in_turns({"all": whole(job, state), "bare": bare(job, other)}, rounds)
    shares = [a / b - 1 for a, b in zip(times["all"], times["bare"], strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    return {
        "work": f"{net}, batch {batch}, {job.batches.steps} steps, {turns.plan_words(job)}",
        "added": f"{statistics.median(times['all']) / statistics.median(times['bare']) - 1:.1%}",
        "quartiles": [f"{low:.1%}", f"{middle:.1%}", f"{high:.1%}"],
        "ms a step": round(1000 * statistics.median(times["bare"]) / job.batches.steps, 2),
        "runs": rounds,
    }


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(epochs: int) -> list[float]:
    """MiB after every tenth of a training on the embedded digits."""
    job, state = turns.prepared(striate.open("digits"), {"net": "lenet5", "epochs": epochs})
    job = turns.first_items(job, 256)
    seen: list[float] = []

    def say(line: str) -> None:
        if line.startswith("epoch"):
            seen.append(resident())

    train(replace(job, progress=Progress(say)), state)
    return [round(seen[i], 1) for i in range(epochs // 10 - 1, epochs, epochs // 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("--net", default="lenet5")
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--items", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--one-core", action="store_true", help="CPU time of one core")
    asked = parser.parse_args()
    if asked.one_core:
        turns.one_core()
    rows = []
    for batch in asked.batches:
        rows.append(added(asked.data, asked.net, batch, asked.items, asked.rounds))
        print(json.dumps(rows[-1]), flush=True)
    if asked.epochs:
        rows.append({"work": f"{asked.epochs} epochs, MiB", "resident": memory(asked.epochs)})
        print(json.dumps(rows[-1]), flush=True)
    turns.report(turns.machine(), rows)


if __name__ == "__main__":
    main()
