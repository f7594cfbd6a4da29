"""ResNet-18 at 224 from a folder of JPEGs: Striate's loop against the loop of torchvision's reference.

    python benchmarks/resnet18_jpegs.py DATA [--items 192] [--rounds 3] [--batch 32]

DATA holds train/CLASS/*.jpg. The peer: ImageFolder, random resized crop, flip, normalise, float32, default
layout, SGD with momentum, a DataLoader with the faster of 0 and 2 workers, which is measured first; loss and
accuracy of every step. Striate trains from its decoded cache with `augment=resized+flip`, the same views, and
the plan it chooses. An epoch of each in turns, medians, items a second.

Of Striate's epochs after the first it also tells the shares of the time: `waiting` is what the loop waited for
its batches, `views` what making them (gather, crop, flip, normalise) took on its own.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import turns
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, models, transforms

import striate

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def reference(folder: Path, items: int, batch: int, workers: int) -> Callable[[], None]:
    """One epoch of the reference's loop."""
    form = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pictures = datasets.ImageFolder(str(folder), form)
    some = Subset(pictures, torch.randperm(len(pictures))[:items].tolist())
    loader = DataLoader(some, batch_size=batch, shuffle=True, num_workers=workers)
    net = models.resnet18(num_classes=len(pictures.classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def epoch() -> None:
        net.train()
        for x, y in loader:
            output = net(x)
            loss = criterion(output, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            (output.argmax(1) == y).float().mean().item()
            loss.item()

    return epoch


def shares(job: turns.Job, epoch: Callable[[], object]) -> dict[str, float]:
    """Of one epoch of Striate: seconds, the share waited for batches, the share that making them takes."""
    batches = job.batches
    start = time.perf_counter()
    for step, index in enumerate(batches.order(0)):
        batches.take(index, 0, step)
    views = time.perf_counter() - start
    whole = turns.seconds(epoch)
    return {"seconds": whole, "views": views / whole}


def first_epoch(folder: Path, settings: dict[str, object]) -> float:
    """Seconds until a folder never seen is decoded."""
    with tempfile.TemporaryDirectory() as cache:
        data = striate.open(folder, cache=cache)
        return turns.seconds(lambda: data.arrays("train", size=(224, 224), color="rgb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--items", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--augment", default="resized+flip")
    asked = parser.parse_args()
    machine = turns.machine("torchvision")
    settings = {
        "net": "resnet18", "size": 224, "epochs": 1, "batch": asked.batch,
        "optimizer": "sgd", "augment": asked.augment,
    }  # fmt: skip
    job, state = turns.prepared(striate.open(asked.data), settings)
    job = turns.first_items(job, asked.items)
    mine = turns.epoch(job, state)
    train = asked.data / "train"
    workers = turns.in_turns(
        {str(n): reference(train, asked.items // 2, asked.batch, n) for n in (0, 2)}, 1
    )
    faster = min(workers, key=lambda n: workers[n][0])
    peer = reference(train, asked.items, asked.batch, int(faster))
    name = f"torchvision's loop, {faster} workers"
    times = turns.in_turns({"striate": mine, name: peer}, asked.rounds)
    work = f"resnet18 224 jpegs train, batch {asked.batch}, {turns.plan_words(job)}"
    rows = turns.compared(work, times, asked.items)
    print(json.dumps({"workers": workers, **shares(job, mine)}))
    print(json.dumps({"decoding, seconds": first_epoch(asked.data, settings)}))
    turns.report(machine, rows)


if __name__ == "__main__":
    main()
