"""Does squared error blur borders? An auto-encoder on photos under three losses, on the same items and steps.

    python benchmarks/reconstruction.py DATA/clothing --weights VGG16_FEATURES.safetensors --out FOLDER
    python benchmarks/reconstruction.py DATA/clothing --weights VGG16_FEATURES.safetensors --steps [--rounds 7] [--items 240]

The course says that L2 blurs borders. Squared error alone, with an edge loss, and with a perceptual loss through the
features of a trained VGG-16; the same net (`conv_autoencoder`), seeds, batches and steps. Scores are of the test
pictures at 64x64, each the mean over seeds; differences to squared error alone are paired by picture, with 95 %
intervals. Sharpness is the energy of second differences over that of the input: under 1 is blurred. A run that is there
already is not trained again. FOLDER/side_by_side.png has inputs and answers of the first seed.

`--steps` trains nothing to its end: an epoch over so many pictures under each loss, against the same net, loss and AdamW
written plainly (a DataLoader over tensors that are ready, an `nn.Sequential` of the layers of VGG-16), interleaved, in
process time of one core; with few items what an epoch begins with weighs more than in a training. And what the scores of the pictures of an epoch cost as a share of its steps: those after an
epoch, and SSIM and the edge error, which the final evaluation alone has.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import turns
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from striate import data, losses
from striate.metrics import paired
from striate.metrics.intervals import mean
from striate.metrics.reconstruct import Similarity, edge_error, picture_scores
from striate.models import catalog
from striate.result import text_table
from striate.runs import Run
from striate.tasks import feature_net
from striate.training import fit, read_recipe

SIDE, SHOWN, BATCH = 64, 8, 16
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


def by_hand(weights: Path) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The same losses, written plainly."""
    seen = feature_net.built(losses.Look("vgg16", str(weights), "features.8"))
    layers = nn.Sequential(*list(seen.net.features)[:9])
    down = torch.tensor([[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]])
    sobel = torch.stack([down, down.T])[:, None].repeat(3, 1, 1, 1)

    def edges(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), sobel, groups=3)

    def features(x: Tensor) -> Tensor:
        return layers((x - seen.mean) / seen.std)

    def perceptual(answer: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = features(target)
        return F.mse_loss(answer, target) + 2e-6 * F.mse_loss(features(answer), wanted)

    return {
        "L2": F.mse_loss,
        "L2 + edge": lambda a, t: F.mse_loss(a, t) + 0.2 * F.mse_loss(edges(a), edges(t)),
        "L2 + perceptual": perceptual,
    }


def usual(x: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> turns.Call:
    """An epoch of the plain loop at each call."""
    net = catalog.build("conv_autoencoder", num_classes=3).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    loader = DataLoader(TensorDataset(x, target), BATCH, shuffle=True)

    def epoch() -> None:
        for some, wanted in loader:
            optimizer.zero_grad()
            value = loss(net(some), wanted)
            value.backward()
            optimizer.step()
            value.item()

    return epoch


def steps(given: argparse.Namespace) -> None:
    """A row a loss, and rows of what scores cost."""
    turns.one_core()
    rows: list[turns.Row] = []
    plain, scored = by_hand(given.weights), None
    for name, loss in arms(given.weights).items():
        if name not in plain:  # the same loss with another factor
            continue
        settings = {
            "task": "reconstruct",
            "loss": loss,
            "epochs": 1,
            "size": SIDE,
            "augment": "none",
        }
        settings |= {
            "plan": "default",
            "health": 0,
            "batch": BATCH,
            "optimizer": "adamw",
            "lr": 3e-3,
        }
        job, state = turns.prepared(data.open(given.data, task="reconstruct"), settings)
        job = turns.first_items(job, given.items)
        x, target = job.batches.take(torch.arange(given.items), 0, 0, plain=True)
        x = x.contiguous()
        contenders = {
            "striate": turns.epoch(job, state),
            "plain loop": usual(x, target.contiguous(), plain[name]),
        }
        times = turns.in_turns(contenders, given.rounds)
        work = f"conv_autoencoder, {name}, epoch of {given.items} pictures of {SIDE}x{SIDE}, batch {BATCH}"
        rows += turns.compared(work, times, given.items)
        if scored is None:
            scored = scores(target, times["striate"], given.rounds)
    turns.report(turns.machine(), rows + (scored or []))


def scores(target: Tensor, whole: list[float], rounds: int) -> list[turns.Row]:
    """What scores of every picture of an epoch take, as a share of its steps."""
    truths = list(np.ascontiguousarray(target.movedim(1, -1).numpy()))  # as an evaluation has them
    answers = truths[1:] + truths[:1]
    calls = {
        "after every epoch: PSNR, L1, L2": lambda a, t: picture_scores(a, t, whole=False),
        "in the final evaluation: SSIM": Similarity(),
        "in the final evaluation: edge error": edge_error,
    }
    rows: list[turns.Row] = []
    for name, call in calls.items():
        found = [
            turns.seconds(lambda: [call(a, t) for a, t in zip(answers, truths, strict=True)])  # noqa: B023
            for _ in range(rounds)
        ]
        share = statistics.median(found) / statistics.median(whole)
        rows.append({"work": f"scores {name}", "share of the same pictures' steps": f"{share:.2%}"})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where runs are kept; needed unless --steps")
    parser.add_argument("--steps", action="store_true", help="time steps and scores alone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--items", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", help="train only this loss, by the words before its numbers")
    given = parser.parse_args()
    if given.steps:
        steps(given)
        return
    if given.out is None:
        parser.error("--out FOLDER is needed: runs are kept there")
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
