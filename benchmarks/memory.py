"""Memory epoch by epoch, and the shares of the time in which items were waited for and batches made, of any training.

    python benchmarks/memory.py DATA [--out FOLDER] [key=value ...]

After every epoch a row: the resident memory of the process. At the end the growth of memory from the end of the second
epoch on, in MiB an epoch by least squares, with its 95 % interval; the median over epochs of what results.csv calls
waiting, the share of the steps' time in which the training stood still until the items of a batch were decoded or read and
on the device; and what summary.json calls preparing, the share in which batches were made of them (random views, spectra,
scaling), which is work of the step.
"""

import argparse
import csv
import statistics
import tempfile
from pathlib import Path

from overhead import resident
from scipy import stats

from striate.training import read_recipe
from striate.training.record import Progress
from striate.workbench.train import train_recipe

SCORES = ("accuracy", "mae")
SETTLED = 2  # epochs after which nothing new should be kept


def growth(found: list[float]) -> str:
    """MiB an epoch, with the interval of a line through them."""
    if len(found) < 4:
        return "too few epochs for a line"
    if max(found) - min(found) < 0.01:
        return "none"
    line = stats.linregress(range(len(found)), found)
    reach = stats.t.ppf(0.975, len(found) - 2) * line.stderr
    return f"{line.slope:.2f} MiB an epoch ({line.slope - reach:.2f} to {line.slope + reach:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--out", help="keeps the run there")
    given = parser.parse_intermixed_args()
    memory: list[float] = []

    def say(line: str) -> None:
        ended = line.startswith("epoch ") and "/" in line.split()[1]  # not the head of the table
        if ended:
            memory.append(resident())
        print(line, f" {memory[-1]:.0f} MiB" if ended else "", flush=True)

    settings = dict(word.split("=", 1) for word in given.settings)
    with tempfile.TemporaryDirectory() as folder:
        recipe = read_recipe("quick", settings)
        out = Path(given.out or folder)
        name = None if given.out else "run"
        done = train_recipe(given.data, recipe, out=out, name=name, progress=Progress(say=say))
        rows = list(csv.DictReader((done.run.path / "results.csv").open()))
        scored = done.run.summary.get("test") or done.run.summary
        print({name: score for name, score in scored["scores"].items() if name in SCORES})
    waiting = [float(row["waiting"]) for row in rows]
    print("resident after each epoch, MiB:", *(f"{value:.0f}" for value in memory))
    print("growth after the second:", growth(memory[SETTLED - 1 :]))
    print(f"waiting for items: median {statistics.median(waiting):.2%}, most {max(waiting):.2%}")
    print(f"making batches of them: {done.run.summary['preparing']:.2%}")


if __name__ == "__main__":
    main()
