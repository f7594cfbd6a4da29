"""Forecasts: a step of the training against a plain loop over windows that are copied out, and nets against baselines.

    python benchmarks/forecast.py steps [--rounds 7] [--nodes 60] [--one-core]
    python benchmarks/forecast.py nets SERIES OUT --net stgcn --seeds 5 [--busiest 100] [key=value ...]
    python benchmarks/forecast.py digits DATA/free_spoken_digits OUT [key=value ...]

steps: epochs of Striate's loop, whose windows are views of one table, scaled and given their calendar on the way to the
net, against the usual loop of PyTorch: all windows copied out beforehand, scaled, the calendar as channels, a DataLoader,
AdamW and the mean absolute error. Both train the same net from the same weights on noise with a day in it.

nets: trainings with seeds 0, 1, ... and for each the test error and the gain over each baseline on the same windows.
--busiest takes the nodes with the largest mean over the first 70 % of the steps, without their graph, so that the net's is
that of similar series.

digits: spoken digits as plain series, 2,000 values a second, the first second of each, takes 0 to 4 as the test; `fcn1d`
learns from them.
"""

import argparse
import copy
import json
import statistics
import tempfile
import wave
from pathlib import Path

import numpy as np
import torch
import turns
from scipy import signal
from torch.utils.data import DataLoader, TensorDataset

import striate
from striate import data
from striate.tasks.forecast_baselines import fitted

STEPS, BATCH = 600, 32
RATE, SLOW = 8000, 2000  # values a second of the recordings, and of what is made of them


def series(nodes: int, folder: Path) -> Path:
    """A day in noise, on a ring."""
    rng = np.random.default_rng(0)
    hours = np.arange(STEPS)[:, None]
    values = 20 + 8 * np.sin(2 * np.pi * (hours / 24 + np.arange(nodes) / nodes))
    ring = np.roll(np.eye(nodes), 1, 1)
    path = folder / "series.npz"
    values = (values + rng.normal(size=values.shape)).astype(np.float32)
    np.savez(path, values=values, adjacency=np.maximum(ring, ring.T))
    return path


def usual(net: torch.nn.Module, windows: torch.Tensor, targets: torch.Tensor):
    """One epoch a call of the loop as it is usually written."""
    loader = DataLoader(TensorDataset(windows, targets), BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)

    def run() -> None:
        net.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = torch.nn.functional.l1_loss(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()

    return run


def steps(args: argparse.Namespace) -> None:
    """Time epochs in turns."""
    if args.one_core:
        turns.one_core()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        opened = data.open(series(args.nodes, Path(folder)))
        for name in ("stgcn", "tgcn3d"):
            settings = {"net": name, "epochs": 1, "batch": BATCH, "plan": "default", "health": 0}
            job, state = turns.prepared(opened, {**settings, "width": args.width})
            batches, net = job.batches, copy.deepcopy(state.net)
            every = torch.arange(batches.count)
            x, y = batches.take(every, 0, 0)
            scaled = (y - torch.tensor(job.task.mean)) / torch.tensor(job.task.std)
            contenders = {
                "striate": turns.epoch(job, state),
                "plain loop, copied windows": usual(net, x, scaled),
            }
            work = f"{name}, {args.nodes} nodes, {batches.steps} steps of {BATCH}"
            rows += turns.compared(work, turns.in_turns(contenders, args.rounds), batches.count)
            held = opened.splits["train"].source.cut.table.nbytes
            rows[-1]["bytes"] = {"table": held, "copied windows": x.nbytes + y.nbytes}
            print(json.dumps(rows[-1]["bytes"]), flush=True)
    turns.report(turns.machine(), rows)


def busiest(path: Path, count: int, folder: Path) -> Path:
    """The nodes with the largest means, without their graph."""
    series = data.open(path).splits["train"].source.cut.series
    first = series.values[: round(0.7 * len(series))]
    order = np.sort(np.argsort(-first.mean(0), kind="stable")[:count])
    made = folder / f"{path.stem}-{count}.npz"
    names = np.array([series.nodes[i] for i in order])
    np.savez(made, values=series.values[:, order], node_names=names)
    return made


def nets(args: argparse.Namespace) -> None:
    """Train with each seed; print a line a run, and the means."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    path = busiest(Path(args.series), args.busiest, out) if args.busiest else Path(args.series)
    settings = dict(word.split("=", 1) for word in args.settings)
    found: list[dict[str, dict[str, float]]] = []
    for seed in range(args.seeds):
        run = striate.train(
            path,
            args.net,
            out=out,
            name=f"{path.stem}-{args.net}-{seed}",
            seed=seed,
            health=0,
            **settings,
        )
        found.append((run.summary.get("test") or run.summary)["scores"])
        kept = {key: found[-1][key] for key in found[-1] if key in ("mae", "rmse") or "gain" in key}
        print(
            json.dumps({"seed": seed, "seconds": run.summary["seconds"], "scores": kept}),
            flush=True,
        )
    print(fitted(data.open(path, **_opening(settings)).splits["train"].source.cut).season)
    for key in ("mae", "rmse", "gain_last_value", "gain_season", "gain_linear"):
        values = [scores[key]["value"] for scores in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        above = sum((scores[key]["low"] or 0) > 0 for scores in found) if "gain" in key else ""
        print(
            f"{key}: mean {statistics.fmean(values):.4f}, deviation between seeds {spread:.4f} {above}"
        )


def digits(args: argparse.Namespace) -> None:
    """Write the recordings as one table of series and train on it."""
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    parts = {"train": ([], []), "test": ([], [])}
    for path in sorted((Path(args.series) / "recordings").glob("*.wav")):
        label, _, take = path.stem.split("_")
        with wave.open(str(path)) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 2**15
        slow = signal.decimate(sound[:RATE], RATE // SLOW)
        x, y = parts["test" if int(take) < 5 else "train"]
        x.append(np.pad(slow, (0, SLOW - len(slow))).astype(np.float32))
        y.append(int(label))
    arrays = {
        f"{w}_{s}": np.array(v) for s, xy in parts.items() for w, v in zip("xy", xy, strict=True)
    }
    np.savez(out / "digits.npz", **arrays)
    settings = dict(word.split("=", 1) for word in args.settings)
    print(striate.train(out / "digits.npz", out=out, name="digits", **settings).as_text())


def _opening(settings: dict[str, str]) -> dict[str, int]:
    return {key: int(settings[key]) for key in ("history", "horizon") if key in settings}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)
    timed = kinds.add_parser("steps")
    timed.add_argument("--rounds", type=int, default=7)
    timed.add_argument("--nodes", type=int, default=60)
    timed.add_argument("--width", type=float, default=0.5)
    timed.add_argument("--one-core", action="store_true")
    timed.set_defaults(work=steps)
    scored = kinds.add_parser("nets")
    scored.add_argument("series")
    scored.add_argument("out")
    scored.add_argument("--net", default="stgcn")
    scored.add_argument("--seeds", type=int, default=5)
    scored.add_argument("--busiest", type=int, default=0)
    scored.add_argument("settings", nargs="*")
    scored.set_defaults(work=nets)
    spoken = kinds.add_parser("digits")
    spoken.add_argument("series")
    spoken.add_argument("out")
    spoken.add_argument("settings", nargs="*")
    spoken.set_defaults(work=digits)
    args = parser.parse_args()
    args.work(args)


if __name__ == "__main__":
    main()
