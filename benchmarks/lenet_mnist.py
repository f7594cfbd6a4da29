"""LeNet-5 on MNIST, training end to end: Striate's loop and plan against the usual loops and Keras on JAX.

    python benchmarks/lenet_mnist.py [DATA]          DATA: the folder of the four MNIST files

All contenders train the same architecture on the same items with AdamW, in turns within one process; a row
gives the medians over the rounds, in items a second, and their ratio (above 1: Striate is faster). The peers
are what tutorials show: eager PyTorch, float32, default layout, a DataLoader without workers over
`tensors` (a TensorDataset of normalised floats) or `pil` (a picture an item, converted and normalised by
itself); and, where Keras and JAX are installed, `model.fit` on arrays. Striate's side is its own training
loop: gather, random shift, plan, metrics, checks and health included.
"""

import argparse
import os
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
import turns
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import striate

ITEMS = 6_400  # a round
MEAN, STD = 33.3, 78.6
MACS = 416_520  # of one item forward; backward takes twice as many


def plain_net() -> nn.Module:
    """LeNet-5 as tutorials write it."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


class Pictures(Dataset):
    """One picture an item, as torchvision's MNIST and its usual transform give it."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        picture = Image.fromarray(self.images[index])
        pixels = torch.from_numpy(np.array(picture)).unsqueeze(0).float().div(255)
        return pixels.sub_(MEAN / 255).div_(STD / 255), int(self.labels[index])


def usual(dataset: Dataset, batch: int) -> Callable[[], None]:
    """One epoch of the loop that tutorials show."""
    net = plain_net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(dataset, batch_size=batch, shuffle=True)

    def epoch() -> None:
        running = right = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            outputs = net(x)
            loss = criterion(outputs, y)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(y)
            right += (outputs.argmax(1) == y).sum().item()

    return epoch


def keras_on_jax(images: np.ndarray, labels: np.ndarray, batch: int) -> Callable[[], object]:
    """One epoch of `model.fit` on arrays."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x = ((images[..., None] - MEAN) / STD).astype(np.float32)
    return lambda: model.fit(x, labels, batch_size=batch, epochs=1, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 128, 256, 1024])
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--one-core", action="store_true", help="CPU time of one core")
    asked = parser.parse_args()
    if asked.one_core:
        turns.one_core()
    data = striate.open(asked.data)
    arrays = data.arrays("train")
    images, labels = np.array(arrays.inputs[:ITEMS, ..., 0]), np.array(arrays.targets[:ITEMS])
    floats = torch.from_numpy(images).float().sub(MEAN).div(STD)[:, None]
    machine = turns.machine("keras", "jax")
    rows = []
    for batch in asked.batches:
        job, state = turns.prepared(
            data,
            {
                "net": "lenet5",
                "epochs": 1,
                "batch": batch,
                "lr": 1e-3,
                "plan": asked.plan,
                "optimizer": "adamw",
            },
        )
        job = turns.first_items(job, ITEMS)
        contenders = {
            "striate": turns.epoch(job, state),
            "DataLoader tensors": usual(TensorDataset(floats, torch.from_numpy(labels)), batch),
            "DataLoader pil": usual(Pictures(images, labels), batch),
        }
        if batch == 128 and find_spec("keras") and find_spec("jax"):
            contenders["Keras on JAX"] = keras_on_jax(images, labels, batch)
        times = turns.in_turns(contenders, asked.rounds)
        work = f"lenet5 mnist train, batch {batch}, {turns.plan_words(job)}"
        rows += turns.compared(work, times, ITEMS)
        rate = rows[-1]["ours"] * 3 * MACS / 1e9
        share = rate / machine["gmac_per_s"][job.plan.precision]
        print(f"{rate:.1f} GMAC/s, {share:.1%} of the matrix rate in {job.plan.precision}")
    turns.report(machine, rows)


if __name__ == "__main__":
    main()
