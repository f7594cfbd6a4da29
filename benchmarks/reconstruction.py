"""Does squared error blur borders? An auto-encoder on photos under three losses, on the same items and steps.

    python benchmarks/reconstruction.py DATA/clothing --weights VGG16_FEATURES.safetensors --out FOLDER

The course says that L2 blurs borders. Squared error alone, with an edge loss, and with a perceptual loss through the
features of a trained VGG-16; the same net (`conv_autoencoder`), seeds, batches and steps. Scores are of the test
pictures at 64x64, each the mean over seeds; differences to squared error alone are paired by picture, with 95 %
intervals. Sharpness is the energy of second differences over that of the input: under 1 is blurred. A run that is there
already is not trained again. FOLDER/side_by_side.png has inputs and answers of the first seed.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from striate import data
from striate.metrics import paired
from striate.metrics.intervals import mean
from striate.result import text_table
from striate.runs import Run
from striate.training import fit, read_recipe

SIDE, SHOWN = 64, 8
SCORES = ("psnr", "ssim", "l1", "l2", "edge_error", "sharpness")


def arms(weights: Path) -> dict[str, str]:
    """The losses by their short names."""
    return {
        "L2": "l2",
        "L2 + edge": "l2+0.1*edge",
        "L2 + perceptual": f"l2+2e-6*perceptual:vgg16={weights}@features.8",
        "L2 + 10 perceptual": f"l2+2e-5*perceptual:vgg16={weights}@features.8",
    }


def trained(given: argparse.Namespace, name: str, loss: str, seed: int) -> Run:
    """The run of a loss and a seed."""
    folder = given.out / "reconstruct" / f"{name.replace(' ', '')}-{seed}"
    if not (folder / "summary.json").exists():
        settings = {"task": "reconstruct", "loss": loss, "seed": seed, "epochs": given.epochs}
        recipe = read_recipe("quick", {**settings, "size": SIDE, "plan": "default", "health": 0})
        opened = data.open(given.data, task="reconstruct")
        fit(opened, recipe, out=given.out, name=folder.name)
    return Run.load(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", help="train only this loss, by the words before its numbers")
    given = parser.parse_args()
    table: dict[str, dict[str, np.ndarray]] = {}
    columns: list[list[np.ndarray]] = []
    for name, loss in arms(given.weights).items():
        if given.only not in (None, name):
            continue
        rows: list[dict[str, np.ndarray]] = []
        for seed in range(given.seeds):
            run = trained(given, name, loss, seed)
            held = run.held(run.open_data(), "test")
            rows.append({k: np.array([row.get(k, np.nan) for row in held.rows]) for k in SCORES})
            if seed == 0:
                items = held.items(range(0, len(held.rows), len(held.rows) // SHOWN)[:SHOWN])
                columns += [[item.truth for item in items]] if not columns else []
                columns.append([item.answer for item in items])
        table[name] = {k: np.mean([row[k] for row in rows], axis=0) for k in SCORES}
    print_table(table)
    grid = np.concatenate([np.concatenate(column, 1) for column in columns], 0)
    pixels = np.rint(255 * grid).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    Image.fromarray(pixels).save(given.out / "side_by_side.png")


def print_table(table: dict[str, dict[str, np.ndarray]]) -> None:
    """Means with intervals, and paired differences to the first row."""
    first = next(iter(table.values()))
    rows: list[list[str]] = []
    for name, scores in table.items():
        for key, values in scores.items():
            found = mean(values)
            cells = [name, key, f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}"]
            off = paired(first[key], values)
            same = scores is first
            cells += (
                ["", ""] if same else [f"{off.value:+.4f}", f"{off.low:+.4f} to {off.high:+.4f}"]
            )
            rows.append(cells)
    header = ["loss", "score", "mean", "interval", "against L2", "interval "]
    print(text_table(header, rows))


if __name__ == "__main__":
    main()
