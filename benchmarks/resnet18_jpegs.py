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
import statistics
import tempfile
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


def shares(job: turns.Job, totals: list[turns.Totals]) -> dict[str, float]:
    """Medians over Striate's epochs after the first: waited for batches by the loop, and making them on its own."""
    batches = job.batches

    def views() -> None:
        for step, index in enumerate(batches.order(0)):
            batches.take(index, 0, step)

    later = totals[1:]
    whole = statistics.median(t.seconds for t in later)
    making = statistics.median(turns.seconds(views) for _ in range(5))
    waiting = statistics.median(t.waited / t.seconds for t in later)
    return {"waiting": round(waiting, 4), "views": round(making / whole, 4)}


def decoding(folder: Path) -> float:
    """Seconds until a folder never seen is decoded."""
    with tempfile.TemporaryDirectory() as cache:
        data = striate.open(folder, cache=cache)
        return turns.seconds(lambda: data.arrays("train", size=(224, 224), color="rgb"))


def alone(call: turns.Call, asked: argparse.Namespace) -> None:
    """Items a second of every round, the first apart."""
    times = turns.in_turns({asked.alone: call}, asked.rounds)[asked.alone]
    print(json.dumps({asked.alone: [round(asked.items / time, 1) for time in times]}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--items", type=int, default=192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--augment", default="resized+flip")
    parser.add_argument("--plan", default="auto")
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 2], help="tried by the peer")
    parser.add_argument("--one-core", action="store_true", help="CPU time of one core")
    parser.add_argument(
        "--alone",
        choices=["striate", "peer"],
        help="one of them, which has the allocator to itself",
    )
    asked = parser.parse_args()
    if asked.one_core:
        turns.one_core()
    if asked.alone == "peer":
        call = reference(asked.data / "train", asked.items, asked.batch, asked.workers[0])
        alone(call, asked)
        return
    machine = turns.machine("torchvision")
    settings = {
        "net": "resnet18", "size": 224, "epochs": 1, "batch": asked.batch,
        "optimizer": "sgd", "augment": asked.augment, "plan": asked.plan,
    }  # fmt: skip
    job, state = turns.prepared(striate.open(asked.data), settings)
    job = turns.first_items(job, asked.items)
    totals: list[turns.Totals] = []
    mine = turns.epoch(job, state, totals)
    if asked.alone:
        alone(mine, asked)
        return
    train = asked.data / "train"
    workers = turns.in_turns(
        {str(n): reference(train, asked.items // 2, asked.batch, n) for n in asked.workers}, 1
    )
    faster = min(workers, key=lambda n: workers[n][0])
    peer = reference(train, asked.items, asked.batch, int(faster))
    name = f"torchvision's loop, {faster} workers"
    times = turns.in_turns({"striate": mine, name: peer}, asked.rounds)
    work = f"resnet18 224 jpegs train, batch {asked.batch}, {turns.plan_words(job)}"
    rows = turns.compared(work, times, asked.items)
    print(json.dumps({"workers": workers, **shares(job, totals)}))
    print(json.dumps({"decoding, seconds": decoding(asked.data)}))
    turns.report(machine, rows)


if __name__ == "__main__":
    main()
