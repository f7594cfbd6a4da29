"""VoxNet on occupancy grids of 32 voxels a side: an epoch of Striate against the usual PyTorch loop.

    python benchmarks/volumes.py [--items 256] [--rounds 7] [--optimizer adamw] [--one-core]

An epoch end to end of stored grids, each moved at random by up to two voxels along each axis, batches of 32. The peer is
the same net written plainly: a Dataset that moves an item with NumPy, a DataLoader, AdamW, float32 in the default
layout. Grids are those of the script: boxes and frames of boxes. Interleaved rounds, medians.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import turns
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import striate
from striate.models.catalog import build

SIDE, MOST, BATCH = 32, 2, 32


def grids(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Full boxes and hollow ones, uint8 [N, D, H, W], and which each is."""
    rng = np.random.default_rng(0)
    x, y = np.zeros((count, SIDE, SIDE, SIDE), np.uint8), np.arange(count) % 2
    for grid, hollow in zip(x, y, strict=True):
        a, b = rng.integers(2, 8, 3), rng.integers(18, 30, 3)
        grid[a[0] : b[0], a[1] : b[1], a[2] : b[2]] = 1
        if hollow:
            grid[a[0] + 2 : b[0] - 2, a[1] + 2 : b[1] - 2, a[2] + 2 : b[2] - 2] = 0
    return x, y


class Moved(Dataset[tuple[torch.Tensor, int]]):
    """Grids moved at random, an item at a time, as tutorials do it."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y, self.rng = x, y, np.random.default_rng(0)
        self.mean, self.std = float(x.mean()), float(x.std())

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        wide = np.pad(self.x[i], MOST, mode="edge")
        a, b, c = self.rng.integers(0, 2 * MOST + 1, 3)
        grid = wide[a : a + SIDE, b : b + SIDE, c : c + SIDE].astype(np.float32)
        return torch.from_numpy((grid - self.mean) / self.std)[None], int(self.y[i])


def usual(x: np.ndarray, y: np.ndarray) -> turns.Call:
    """An epoch of the peer."""
    net: nn.Module = build("voxnet", num_classes=2).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    loader = DataLoader(Moved(x, y), BATCH, shuffle=True)

    def epoch() -> None:
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(inputs), labels)
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--optimizer", default=None, help="muon, as the default recipe, or adamw")
    parser.add_argument("--one-core", action="store_true")
    given = parser.parse_args()
    if given.one_core:
        turns.one_core()
    x, y = grids(given.items)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grids.npz"
        np.savez(path, x_train=x, y_train=y, x_val=x[:32], y_val=y[:32])
        settings: dict[str, Any] = {
            "epochs": 1,
            "batch": BATCH,
            "augment": f"translate:{MOST / SIDE}",
        }
        if given.optimizer:
            settings["optimizer"] = given.optimizer
        job, state = turns.prepared(striate.open(path), settings)
        contenders = {
            f"striate, {turns.plan_words(job)}": turns.epoch(job, state),
            "PyTorch, DataLoader": usual(x, y),
        }
        rows = turns.compared(
            f"voxnet, an epoch, {job.recipe.optimizer}, {turns.plan_words(job)}",
            turns.in_turns(contenders, given.rounds),
            len(x),
        )
    turns.report(turns.machine(), rows)


if __name__ == "__main__":
    main()
