"""What the loop of corrections gains: labels spoiled on purpose, suspected by the audit, corrected, trained again.

    python benchmarks/corrections.py mnist [--spoiled 0.08] [--items 4000] [--seeds 5]

Of each seed's training pictures a share is put under another label. A net is trained on them, `audit --only labels` suspects
labels of the training split, and the same net is trained again: with every suggestion taken as it stands, with those alone that
are right (what a person would let pass), and with all labels as they were. All are scored on the same pictures, whose
labels are untouched.
"""

import argparse
import csv
import json
import math
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import stats

import striate
from striate.auditing import write_fixes

TEST = 2000


def written(folder, source, spoiled, items, seed):
    """Class folders of pictures with some under a wrong label; the true label of every training picture by its file."""
    rng = np.random.default_rng(seed)
    opened, true = striate.open(source), {}
    for split, count in (("train", items), ("test", TEST)):
        arrays = opened.arrays(split)
        for i in rng.choice(len(arrays.inputs), min(count, len(arrays.inputs)), replace=False):
            label = int(arrays.targets[i])
            shown = label
            if split == "train" and rng.random() < spoiled:
                shown = int((label + rng.integers(1, 10)) % 10)
            path = folder / split / str(shown) / f"{i:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.squeeze(arrays.inputs[i])).save(path)
            if split == "train":
                true[path.name] = str(label), str(shown)
    return true


def fixes(path, rows):
    """A file of corrections that relabel."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("file", "action", "value"), *rows])
    return str(path)


def accuracy(folder, out, seed, epochs, net, **more):
    """Of a training on the folder; and the run."""
    run = striate.train(folder, net=net, epochs=epochs, seed=seed, out=out, plan="default", **more)
    scores = run.evaluate(folder, split="test").as_dict()["scores"]
    return 100 * scores["accuracy"]["value"], run


def one(given, seed, folder):
    """A row of accuracies in percent, and how many suggestions were right."""
    data = folder / "data"
    true = written(data, given.data, given.spoiled, given.items, seed)
    spoiled = sum(a != b for a, b in true.values())
    common = {"seed": seed, "epochs": given.epochs, "net": given.net}
    as_is, run = accuracy(data, folder, **common)
    suggested = folder / "fixes.csv"
    found = striate.audit(run, only=["labels"])
    write_fixes(suggested, found)
    with suggested.open(newline="") as file:
        rows = [
            (r["file"], "relabel", r["value"])
            for r in csv.DictReader(file)
            if Path(r["file"]).name in true and r["split"] == "train"
        ]
    good = [row for row in rows if true[Path(row[0]).name][0] == row[2]]
    all_true = [
        (f"train/{shown}/{name}", "relabel", label)
        for name, (label, shown) in true.items()
        if label != shown
    ]
    row = {
        "seed": seed,
        "spoiled": spoiled,
        "suggested": len(rows),
        "right": len(good),
        "as it is": as_is,
    }
    for name, kept in (("all suggested", rows), ("right ones", good), ("all true", all_true)):
        path = fixes(folder / f"{name.split()[0]}.csv", kept)
        row[name] = accuracy(data, folder, fixes=path, **common)[0] if kept else as_is
    return row


def main():
    """Print a line a seed, then the gains with their intervals over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--spoiled", type=float, default=0.08)
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--net", default="lenet5")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(one(given, seed, Path(folder)))
        print(json.dumps(rows[-1]), flush=True)
    for name in ("all suggested", "right ones", "all true"):
        gains = [row[name] - row["as it is"] for row in rows]
        half = stats.t.ppf(0.975, len(gains) - 1) * statistics.stdev(gains) / math.sqrt(len(gains))
        mean = statistics.mean(gains)
        print(f"{name}: {mean:+.2f} points ({mean - half:+.2f} to {mean + half:+.2f})")


if __name__ == "__main__":
    main()
