"""LeNet-5 on MNIST, training end to end: Striate's batch path and plan against the usual loops.

    python benchmarks/lenet_mnist.py [DATA]          DATA: the folder of the four MNIST files

All contenders train the same architecture on the same items with AdamW, in turns within one process; a row
gives the medians over the rounds, in items a second, and their ratio (above 1: Striate is faster). The peers
are what tutorials show: eager PyTorch, float32, default layout, a DataLoader without workers over
`tensors` (a TensorDataset of normalised floats) or `pil` (a picture an item, converted and normalised by
itself). Striate's side is its own training loop, gather, random shift, plan, metrics and checks included.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import striate
from striate import plan as plans
from striate.runs.preprocessing import Preprocessing
from striate.tasks import Classify
from striate.training import loop, optim, read_recipe
from striate.training.batches import Batches, padded

ITEMS = 6_000  # a round
MEAN, STD = 33.3, 78.6


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


def ours(images: np.ndarray, labels: np.ndarray, batch: int) -> tuple[Callable[[], None], str]:
    """One epoch of Striate's loop, and the plan that was chosen."""
    recipe = read_recipe("quick", {"epochs": 1, "batch": batch, "lr": 1e-3})
    preprocessing = Preprocessing.measured(images[..., None], (28, 28), "grey")
    stored = padded(torch.from_numpy(images[..., None]), (28, 28))
    batches = Batches(stored, torch.from_numpy(labels), preprocessing, batch, "shift", 0)
    net = striate.build("lenet5")
    task = Classify(tuple("0123456789"))
    x, y = batches.take(batches.order(0)[0], 0, 0)
    chosen = plans.choose(net, x, y, task.loss, device="cpu", steps=1000)
    state = loop.State(chosen.place(net), optim.optimizer(net, recipe))

    def epoch() -> None:
        state.step = 0
        loop.run(
            state, batches, task, recipe=recipe, plan=chosen,
            after_step=lambda _state: None, after_epoch=lambda _state, _epoch: None,
        )  # fmt: skip

    return epoch, f"{chosen.layout} {chosen.precision}"


def medians(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Items a second of each, in turns."""
    times = {name: [] for name in contenders}
    for epoch in contenders.values():
        epoch()
    for _ in range(rounds):
        for name, epoch in contenders.items():
            start = time.perf_counter()
            epoch()
            times[name].append(time.perf_counter() - start)
    return {name: ITEMS / statistics.median(spent) for name, spent in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="mnist")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, nargs="*", default=[64, 128, 256, 1024])
    asked = parser.parse_args()
    arrays = striate.open(asked.data).arrays("train")
    images, labels = np.array(arrays.images[:ITEMS, ..., 0]), np.array(arrays.labels[:ITEMS])
    floats = torch.from_numpy(images).float().sub(MEAN).div(STD)[:, None]
    rows = []
    for batch in asked.batches:
        mine, plan = ours(images, labels, batch)
        contenders = {
            "striate": mine,
            "tensors": usual(TensorDataset(floats, torch.from_numpy(labels)), batch),
            "pil": usual(Pictures(images, labels), batch),
        }
        speed = medians(contenders, asked.rounds)
        for peer in ("tensors", "pil"):
            rows.append(
                {
                    "work": f"lenet5 mnist train, batch {batch}, {plan}",
                    "ours": round(speed["striate"]),
                    "peer": round(speed[peer]),
                    "peer_name": f"DataLoader {peer}",
                    "ratio": round(speed["striate"] / speed[peer], 2),
                    "runs": asked.rounds,
                }
            )
            print(rows[-1], flush=True)
    machine = {
        "processor": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps({"machine": machine, "rows": rows}))


if __name__ == "__main__":
    main()
