"""Trainings by several processes, one of which is killed with SIGKILL: do they end with the bits of an undisturbed one?

    python benchmarks/kill_ranks.py [--kills 20] [--devices 2] [--a-run 3] [--seed 0]

Each training runs `striate train digits devices=N`, with dropout, a running average of the weights and random views.
At random moments a random one of its processes is killed, up to three times a training, since the launcher starts
all processes again that often. Measured is how long the others live on. Compared are SHA-256 of the kept weights and
of the last checkpoint (weights, optimiser, average) and the rows of results.csv without their times. Leaves with 1 if
anything differs, a process outlives the training, or the others live on for 30 s.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """
net: lenet5
options: {drop_rate: 0.2}
epochs: 12
batch: 64
ema: 0.98
schedule: cosine
augment: shift
plan: default
"""
TIMES = {"seconds", "items_per_second", "waiting"}


def main():
    """Run an undisturbed training, then the others, and print what came of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--devices", type=int, default=2, help="processes of a training")
    parser.add_argument("--a-run", type=int, default=3, help="kills in one training, at most three")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the processes")
    given = parser.parse_args()
    rng = random.Random(given.seed)  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected, seconds = undisturbed(folder / "whole", given.devices)
        print(f"undisturbed: {seconds:.1f} s from the first file on", flush=True)
        counts = {"kills": 0, "trainings": 0, "different": 0, "orphans": 0, "longest_s": 0.0}
        while counts["kills"] < given.kills:
            out = folder / f"killed-{counts['trainings']}"
            most = min(given.a_run, given.kills - counts["kills"])
            lives = disturbed(out, given.devices, seconds, most, rng)
            ended = ending(out)
            differs = ", ".join(key for key in expected if ended[key] != expected[key])
            counts["kills"] += len(lives)
            counts["trainings"] += 1
            counts["different"] += bool(differs)
            counts["orphans"] += len(workers(out))
            counts["longest_s"] = round(max([counts["longest_s"], *lives]), 2)
            print(f"{len(lives)} kills, others ended after {lives} s: {differs or 'same bits'}", flush=True)  # fmt: skip
        print(json.dumps({"devices": given.devices, "seed": given.seed, **counts}))
        return int(counts["different"] or counts["orphans"] or counts["longest_s"] >= 30)


@contextlib.contextmanager
def training(out, devices):
    """The command, running."""
    recipe, log = out.with_suffix(".yaml"), out.with_suffix(".log")
    recipe.write_text(RECIPE)
    words = ["digits", "--recipe", str(recipe), f"devices={devices}", "--out", str(out)]
    with log.open("w") as errors:
        command = [sys.executable, "-m", "striate", "train", *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | {"STRIATE_MARK": str(out)}) as process:  # noqa: S603 # fmt: skip
            yield process
    if process.returncode:
        raise SystemExit(f"the training left with {process.returncode}:\n{log.read_text()}")


def undisturbed(out, devices):
    with training(out, devices) as process:
        begun(out, process)
        start = time.monotonic()
        process.wait()
    return ending(out), time.monotonic() - start


def disturbed(out, devices, seconds, most, rng):
    """Kill processes of a training until it ends or that was done often enough; how long the others lived on."""
    lives = []
    with training(out, devices) as process:
        begun(out, process)
        for _ in range(most):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, seconds / most))
            there = waited(out, devices, process)
            if process.poll() is not None or not there:
                break
            victim = there.pop(rng.randrange(len(there)))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            start = time.monotonic()
            while any(alive(other) for other in there):
                time.sleep(0.02)
            lives.append(round(time.monotonic() - start, 2))
        process.wait()
    return lives


def begun(out, process):
    """Wait until the run folder has its config."""
    while not list(out.glob("*/*/config.json")):
        if process.poll() is not None:
            log = out.with_suffix(".log").read_text()
            raise SystemExit(
                f"the training ended with {process.returncode} before it began:\n{log}"
            )
        time.sleep(0.01)


def waited(out, devices, process):
    """All processes of a training, once they are there."""
    while process.poll() is None:
        there = workers(out)
        if len(there) == devices:
            return there
        time.sleep(0.01)
    return []


def workers(out):
    """Numbers of the living processes that train for a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (path / "environ").read_bytes().split(b"\0")
            if f"STRIATE_MARK={out}".encode() in environment and any(e.startswith(b"RANK=") for e in environment):  # fmt: skip
                found.append(int(path.name))
    return sorted(number for number in found if alive(number))


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ending(out):
    """What a training ended with."""
    (path,) = out.glob("*/*")
    last = max(path.glob("checkpoints/step-*"))
    with (path / "results.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    return {
        "weights": sha256(path / "model.safetensors"),
        "last checkpoint": (last.name, sha256(last / "tensors.safetensors")),
        "rows of results.csv": rows,
        "leftovers": sorted(p.name for p in path.rglob(".*")),
        "report": (path / "report.html").exists(),
    }


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
