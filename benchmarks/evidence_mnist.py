"""The history on MNIST: each net trained three times, its test errors beside the printed ones.

    python benchmarks/evidence_mnist.py [--data mnist] [--nets linear mlp ...] [--seeds 0 1 2] [--log FILE]

Every row is the command `striate train DATA net=NET seed=SEED ...` with the settings below; a log of finished
rows lets a broken-off run go on.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import striate
from striate.metrics.classify import wilson

HALF = {"plan": "channels_last,bf16"}  # said, not chosen: three seeds are then of one precision

# net -> settings beside the recipe `quick` with optimizer=adamw, and the error printed in percent, with where
WORK = {
    "linear": ({"epochs": 8, "augment": "none"}, "12.0 (LeCun 1998)"),
    "mlp": ({"epochs": 8, "augment": "none"}, "4.7, 300 hidden (LeCun 1998)"),
    "lenet1": ({"epochs": 8}, "1.7 (LeCun 1998)"),
    "lenet4": ({"epochs": 8}, "1.1 (LeCun 1998)"),
    "lenet5_1998": ({"epochs": 8}, "0.95 / 0.8 with distortions (LeCun 1998)"),
    "lenet5": ({"epochs": 8}, ""),
    "nin_cifar10": (HALF | {"epochs": 2, "width": 0.25, "size": 28}, ""),
    "highway_mnist_16": (HALF | {"epochs": 3}, "0.57 (Srivastava 2015)"),
    "resnet20_cifar": ({"plan": "default", "epochs": 2, "width": 0.5, "size": 28}, ""),
    "capsnet": (HALF | {"epochs": 2, "width": 0.25}, "0.25 (Sabour 2017)"),
    "densenet40_cifar": (HALF | {"epochs": 1, "width": 0.34, "size": 28}, ""),
}


def main():
    """Train what the log does not hold yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--nets", nargs="+", default=list(WORK), choices=list(WORK))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--log", type=Path, default=Path("evidence_mnist.jsonl"))
    given = parser.parse_args()
    rows = (
        [json.loads(line) for line in given.log.read_text().splitlines()]
        if given.log.exists()
        else []
    )
    data = striate.open(given.data)
    for seed in given.seeds:
        for net in given.nets:
            if any((row["net"], row["seed"]) == (net, seed) for row in rows):
                continue
            row = trained(net, seed, data)
            rows.append(row)
            with given.log.open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(row, flush=True)
    print("| net | settings | errors of the seeds % | median (95 % interval) | printed | seconds |")
    print("|---|---|---|---|---|---|")
    for net in given.nets:
        print(summary(net, [row for row in rows if row["net"] == net]))


def trained(net, seed, data):
    """One training: wrong answers on the test items and the seconds it took."""
    settings = {"optimizer": "adamw", **WORK[net][0]}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        run = striate.train(data, net, out=out, seed=seed, **settings)
        accuracy = run.evaluate(data, split="test").scores["accuracy"].value
    items = len(data.splits["test"])
    return {
        "net": net,
        "seed": seed,
        "wrong": round((1 - accuracy) * items),
        "items": items,
        "seconds": round(time.perf_counter() - start, 1),
    }


def summary(net, rows):
    """One line of the table."""
    if not rows:
        return f"| {net} | | | | | |"
    settings, printed = WORK[net]
    words = " ".join(f"{key}={value}" for key, value in settings.items())
    wrong = sorted(row["wrong"] for row in rows)
    items = rows[0]["items"]
    median = wilson(int(statistics.median(wrong)), items)
    errors = " / ".join(f"{100 * row['wrong'] / items:.2f}" for row in rows)
    seconds = statistics.median(row["seconds"] for row in rows)
    return (
        f"| {net} | {words} | {errors} | {100 * median.value:.2f} ({100 * median.low:.2f}-{100 * median.high:.2f}) "
        f"| {printed} | {seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
