"""Trainings killed with SIGKILL and resumed: do they end with the very bits of an undisturbed one?

    python benchmarks/kill_training.py [--random 30] [--checkpoint 20] [--seed 0]

Each training runs `striate train digits` in a process of its own, with a cosine or plateau schedule, a running
average of the weights, dropout, random views, balanced sampling, early stopping and a loss scale that falls now
and then. It is killed at a random moment between its first and its last file, or within the write of a random
checkpoint; every fourth is killed once more while it goes on. Then `striate train --resume` ends it. Compared
are SHA-256 of the kept weights and of the last checkpoint (weights, optimiser, average), the rows of results.csv
without their times, and health.csv to the byte. Leaves with 1 if anything differs.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ALL = "net=lenet5 epochs=4 batch=64 drop_rate=0.2 ema=0.98 sampling=balanced plan=fp16 health=10"
SETTINGS = [
    f"{ALL} optimizer=adamw schedule=cosine patience=6",
    f"{ALL} optimizer=sgd schedule=plateau plateau=1 patience=2 lr=1e-9 accumulate=2",
    f"{ALL} optimizer=muon schedule=onecycle clip=1 loss=focal+0.1*margin",
]
TIMES = {"seconds", "items_per_second", "waiting"}
OVERFLOWS = 40  # steps from one overflow of the scaled gradient to the next


@dataclass(frozen=True)
class Whole:
    """An undisturbed training: what it ended with, how long its files were growing, how long a save takes."""

    ended: dict
    seconds: float
    saves: int
    save_seconds: float


def main():
    """Run the undisturbed trainings, then the killed ones, and print what came of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--random", type=int, default=30, help="kills at a random moment")
    parser.add_argument("--checkpoint", type=int, default=20, help="kills within a checkpoint")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        return child(given.child)
    rng = random.Random(given.seed)  # noqa: S311 - moments, no secrets
    with tempfile.TemporaryDirectory() as folder:
        wholes = [whole(Path(folder) / f"whole-{i}", text) for i, text in enumerate(SETTINGS)]
        counts = {"moments": 0, "checkpoints": 0, "missed": 0, "different": 0}
        while counts["moments"] < given.random or counts["checkpoints"] < given.checkpoint:
            number = counts["moments"] + counts["checkpoints"] + counts["missed"]
            out, which = Path(folder) / f"killed-{number}", number % len(SETTINGS)
            within = counts["moments"] >= given.random
            landed, words = killed(out, SETTINGS[which], wholes[which], rng, within=within)
            again = number % 4 == 3 and resumed_and_killed(out, wholes[which], rng)
            differs = finished(out, wholes[which])
            counts["checkpoints" if within and landed else "missed" if within else "moments"] += 1
            counts["different"] += bool(differs)
            print(
                f"{number + 1}: {words}{', killed again' if again else ''}: {differs or 'same bits'}",
                flush=True,
            )
            shutil.rmtree(out)
        print(json.dumps({"seed": given.seed, **counts}))
        return int(counts["different"] > 0)


def child(arguments):
    """`striate` with those arguments, telling when a checkpoint is written and imitating a float16 training.

    The passes run in float32 (a CPU has no float16 convolutions), but the loss is scaled, and the gradient
    overflows now and then.
    """
    from striate import cli
    from striate.plan import Plan, plan
    from striate.runs import checkpoint
    from striate.training import loop, record

    save, norm = checkpoint.save, loop.gradient_norm

    def told(root, given, **settings):
        print("saving", flush=True)
        start = time.perf_counter()
        final = save(root, given, **settings)
        print(f"saved {time.perf_counter() - start:.6f}", flush=True)
        return final

    plan.FP16_ON = ("cpu",)
    Plan.autocast = lambda _plan: contextlib.nullcontext()
    loop.gradient_norm = lambda state, moved: (
        math.inf if state.step % OVERFLOWS == 7 else norm(state, moved)
    )
    checkpoint.save = told
    record.SAVE_EVERY = 2.0  # within an epoch too
    sys.exit(cli.main(arguments))


def started(arguments):
    command = [sys.executable, __file__, "--child", "train", *arguments]
    return subprocess.Popen(  # noqa: S603 - this very file
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
    )


def begun(out, process):
    """Wait until the run folder has its config."""
    while not list(out.glob("*/*/config.json")):
        if process.poll() is not None:
            raise SystemExit(f"the training ended with {process.returncode} before it began")
        time.sleep(0.002)


def whole(out, settings):
    with started(["digits", *settings.split(), "--out", str(out)]) as process:
        begun(out, process)
        start = time.monotonic()
        lines = process.stdout.read().split("\n")
        process.wait()
        seconds = time.monotonic() - start
    saves = [float(line.split()[1]) for line in lines if line.startswith("saved")]
    print(f"undisturbed, {settings}: {seconds:.1f} s, {len(saves)} checkpoints", flush=True)
    return Whole(ending(run_folder(out)), seconds, len(saves), statistics.median(saves))


def killed(out, settings, undisturbed, rng, *, within):
    """Start a training and kill it; whether it was within a checkpoint, and the words for it."""
    with started(["digits", *settings.split(), "--out", str(out)]) as process:
        begun(out, process)
        if not within:
            after = rng.uniform(0, undisturbed.seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(after)
            process.kill()
            return False, f"killed after {after:.2f} s of {undisturbed.seconds:.2f}"
        chosen = rng.randint(1, undisturbed.saves)
        seen = 0
        for line in process.stdout:
            seen += line.startswith("saving")
            if seen == chosen:
                break
        after = rng.uniform(0, undisturbed.save_seconds)
        time.sleep(after)
        process.kill()
        landed = "saved" not in process.stdout.read()
    left = len(list(run_folder(out).glob("checkpoints/.*.tmp")))
    return landed, (
        f"killed {1000 * after:.1f} ms into checkpoint {chosen} "
        f"({'half of it left' if left else 'nothing of it left'}{'' if landed else ', written before'})"
    )


def resumed_and_killed(out, undisturbed, rng):
    with started(["--resume", str(run_folder(out))]) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, undisturbed.seconds + 3))  # imports take some of it
        process.kill()
        process.stdout.read()
    return process.returncode < 0


def finished(out, undisturbed):
    """Resume, and name what differs in the end."""
    path = run_folder(out)
    with started(["--resume", str(path)]) as process:
        process.stdout.read()
    if process.returncode not in (0, 2):  # 2: it had ended before it was killed
        return f"--resume left with {process.returncode}"
    ended = ending(path)
    return ", ".join(key for key in undisturbed.ended if ended[key] != undisturbed.ended[key])


def run_folder(out):
    (path,) = out.glob("*/*")
    return path


def ending(path):
    """What a training ended with."""
    last = max(path.glob("checkpoints/step-*"))
    with (path / "results.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    state = json.loads((last / "state.json").read_text())
    summary = json.loads((path / "summary.json").read_text())
    return {
        "weights": sha256(path / "model.safetensors"),
        "last checkpoint": (last.name, sha256(last / "tensors.safetensors")),
        "course and loss scale": (state["course"], state["scale"]),
        "rows of results.csv": rows,
        "health.csv": sha256(path / "health.csv"),
        "scores": {key: summary[key] for key in ("epochs", "kept", "scores")},
        "leftovers": sorted(p.name for p in path.rglob(".*")),
        "report": (path / "report.html").exists(),
    }


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
