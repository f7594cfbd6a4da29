"""Sounds: an epoch against the usual PyTorch loop, and answers of several nets averaged.

    python benchmarks/sound.py FOLDER [--net resnet20_cifar] [--rounds 5] [--items 512]
    python benchmarks/sound.py --ensemble RUN RUN ... [--split test]

The epoch is one over waves in memory with log-mel spectra, a net and AdamW. Ours is all that `striate train` does in an
epoch. The peers have the same waves, spectra, net and batch, written plainly: "usual" makes the spectrum of each item in a
Dataset that a DataLoader collates, as tutorials do; "batched" makes those of a batch at once in the loop. A row gives the
medians of interleaved rounds, in process time of one core, and their ratio. The ensemble averages the probabilities of
runs, with the 95 % interval of Wilson 1927.
"""

import argparse

import numpy as np
import torch
import turns
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
    options = parser.parse_args()
    (ensemble if options.ensemble else steps)(options)
