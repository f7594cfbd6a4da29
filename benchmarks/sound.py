"""Sounds: an epoch against the usual PyTorch loop, and answers of several nets averaged.

    python benchmarks/sound.py FOLDER [--net resnet20_cifar] [--rounds 5] [--items 512]
    python benchmarks/sound.py --ensemble RUN RUN ... [--split test]
    python benchmarks/sound.py FOLDER --first-weights OUT [--pictures cifar10.npz] [--vgg features.safetensors] [key=value ...]

The epoch is one over waves in memory with log-mel spectra, a net and AdamW. Ours is all that `striate train` does in an
epoch. The peers have the same waves, spectra, net and batch, written plainly: "usual" makes the spectrum of each item in a
Dataset that a DataLoader collates, as tutorials do; "batched" makes those of a batch at once in the loop. A row gives the
medians of interleaved rounds, in process time of one core, and their ratio. The ensemble averages the probabilities of
runs, with the 95 % interval of Wilson 1927.

First weights, as in Palanisamy, Singhania and Yao 2020 (arXiv 2007.11154): three spectra as channels, the same net from
random weights and from weights of pictures. A DenseNet-40 learns from the pictures first; VGG-16 begins with the features
of a file. A row a training: accuracy with its interval; then how far the layers moved, by thirds of the net: correlation
with their first weights and distance as a share of their norm. OUT/drift-NET.csv has
them layer by layer; `striate see movement RUN` draws those of one.
"""

import argparse
import csv
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import turns
from safetensors.torch import load_file
from scipy.stats import binomtest
from torch import nn
from torch.utils.data import DataLoader, Dataset

import striate
from striate.inputs.spectra import bands
from striate.runs import Run


class PlainMel(nn.Module):
    """Log-mel spectra as they are written by hand."""

    def __init__(self, made):
        super().__init__()
        self.points, self.hop, self.windows = made.spectra.transform, made.hop, made.windows
        self.flat = made.representation == "frames"
        self.weights = bands(made.rate, made.mels, self.points)
        self.shapes = [torch.hann_window(w) / torch.hann_window(w).sum() for w in self.windows]
        self.mean = torch.tensor(made.mean).view(len(self.windows), -1, 1)
        self.std = torch.tensor(made.std).view(len(self.windows), -1, 1)

    def forward(self, waves):
        x = torch.stack(
            [
                self.weights
                @ torch.stft(
                    waves, self.points, self.hop, w, s, pad_mode="constant", return_complex=True
                )
                .abs()
                .square()
                for w, s in zip(self.windows, self.shapes, strict=True)
            ],
            -3,
        )
        x = x.clamp_min(1e-14).log10()
        x = (x - x.amax((-3, -2, -1), keepdim=True).clamp_min(-6)).clamp_min(-8)
        x = (x - self.mean) / self.std
        return x.flatten(-3, -2) if self.flat else x


class Spoken(Dataset):
    """Waves and labels, the spectrum made for each item."""

    def __init__(self, waves, labels, mel):
        self.waves, self.labels, self.mel = waves, labels, mel

    def __len__(self):
        return len(self.waves)

    def __getitem__(self, i):
        return self.mel(self.waves[i]), self.labels[i]


def peer(made, net, waves, labels, batch, *, batched):
    """One epoch at each call."""
    mel, criterion = PlainMel(made), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    items = Spoken(waves, labels, nn.Identity() if batched else mel)
    loader = DataLoader(items, batch, shuffle=True)

    def epoch() -> None:
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(mel(x) if batched else x), y)
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def steps(given) -> None:
    turns.one_core()
    data = striate.open(given.folder)
    settings = {
        "net": given.net,
        "augment": "none",
        "optimizer": "adamw",
        "plan": given.plan,
        "lr": 1e-3,
        "epochs": 1000,
    }
    job, state = turns.prepared(data, settings)
    job = turns.first_items(job, given.items)
    made, batch = job.config.preprocessing, job.recipe.batch
    waves = job.batches.inputs[:, : made.samples].float() / 32768
    labels = job.batches.targets
    rows = []
    contenders = {"striate": turns.epoch(job, state)}
    for name, batched in (("usual", False), ("batched", True)):
        net = job.config.net.build(torch.Generator()).train()
        contenders[name] = peer(made, net, waves, labels, batch, batched=batched)
    work = f"{given.net} on {'x'.join(map(str, made.shape))}, epoch of {len(waves)}, batch {batch}, {turns.plan_words(job)}"
    rows += turns.compared(work, turns.in_turns(contenders, given.rounds), len(waves))
    turns.report(turns.machine("torch"), rows)


# Settings of both nets, and of each: few epochs, as the machine is small.
SOUND = {
    "win_ms": "12,25,50",
    "mels": 24,
    "hop_ms": 20,
    "batch": 32,
    "augment": "delay+speed",
    "optimizer": "adamw",
}
NETS = {
    "densenet40_cifar": {"width": 0.25, "lr": 3e-3, "epochs": 5},
    "vgg16": {"mels": 32, "lr": 3e-4, "epochs": 2},
}
PICTURES = {"width": 0.25, "lr": 3e-3, "batch": 32, "optimizer": "adamw", "size": 32}


def vgg(classes: int, file: str = "") -> nn.Module:
    """The convolutions of VGG-16 with a mean and a linear layer behind them; from random weights, or those of a file."""
    net = striate.build("vgg16")
    if file:
        held = {k.removeprefix("features."): v.float() for k, v in load_file(file).items()}
        net.features.load_state_dict(held)
    rest = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "head": nn.Linear(512, classes)}
    layers = nn.Sequential(OrderedDict(net.features.named_children()))
    return nn.Sequential(OrderedDict(features=layers, **rest))


def first_weights(given) -> None:
    """Trainings from random and from given weights; prints a row each and the movement."""
    out = Path(given.first_weights)
    own = dict(word.split("=", 1) for word in given.settings)
    if given.pictures:
        run = striate.train(
            given.pictures,
            "densenet40_cifar",
            out=out,
            name="pictures",
            epochs=given.picture_epochs,
            **PICTURES,
        )
        print("pictures", run.summary["scores"]["accuracy"], run.summary["seconds"], flush=True)
        dense = {"random": {}, "pictures": {"weights": str(run.path)}}
        starts = {k: ("densenet40_cifar", settings) for k, settings in dense.items()}
        compare("densenet40_cifar", starts, given.folder, out, own)
    if given.vgg:
        classes = len(striate.open(given.folder).classes)
        starts = {"random": (vgg(classes), {}), "pictures": (vgg(classes, given.vgg), {})}
        compare("vgg16", starts, given.folder, out, own)


def compare(name, starts, folder, out, own) -> None:
    """A training from each start."""
    moved: dict[str, list[dict[str, str]]] = {}
    for start, (net, weights) in starts.items():
        settings = {**SOUND, **NETS[name], **own, **weights}
        run = striate.train(folder, net, out=out, name=f"{name}-{start}", **settings)
        scored = run.summary.get("test") or run.summary
        moved[start] = list(csv.DictReader((run.path / "movement.csv").open()))
        thirds = np.array_split(range(len(moved[start])), 3)
        row = {
            "net": name,
            "start": start,
            "accuracy": scored["scores"]["accuracy"],
            "items": scored["items"],
            "seconds": run.summary["seconds"],
        }
        for key in ("correlation", "distance"):
            values = np.array([float(layer[key]) for layer in moved[start]])
            row[key] = [round(float(values[third].mean()), 3) for third in thirds]
        print(json.dumps(row), flush=True)
    drift(out / f"drift-{name}.csv", moved)


def drift(file: Path, moved: dict[str, list[dict[str, str]]]) -> None:
    """The correlation of each layer with its first weights, a column a start."""
    with file.open("w") as table:
        rows = csv.writer(table)
        rows.writerow(["layer", *(f"{k} {start}" for start in moved for k in ("correlation", "distance"))])  # fmt: skip
        for layers in zip(*moved.values(), strict=True):
            numbers = [layer[k] for layer in layers for k in ("correlation", "distance")]
            rows.writerow([layers[0]["layer"], *numbers])


def ensemble(given) -> None:
    probs = []
    for path in given.ensemble:
        run = Run(path)
        held = run.held(run.open_data(), given.split)
        probs.append(held.meter.probs)
        right = int((held.meter.probs.argmax(1) == held.meter.truth).sum())
        print(path, right, "of", len(held.meter.truth))
        truth = held.meter.truth
    right, count = int((np.mean(probs, 0).argmax(1) == truth).sum()), len(truth)
    low, high = binomtest(right, count).proportion_ci(method="wilson")
    print(f"together {right} of {count}: {right / count:.2%} [{low:.2%}, {high:.2%}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--net", default="resnet20_cifar")
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--ensemble", nargs="+")
    parser.add_argument("--split", default="test")
    parser.add_argument("--first-weights", metavar="OUT")
    parser.add_argument("--pictures")
    parser.add_argument("--picture-epochs", type=int, default=3)
    parser.add_argument("--vgg")
    parser.add_argument("settings", nargs="*", help="key=value of the trainings on sounds")
    options = parser.parse_intermixed_args()
    work = first_weights if options.first_weights else ensemble if options.ensemble else steps
    work(options)
