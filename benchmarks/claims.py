"""What courses say of pieces of a net, measured on small photos: overlap, LRN, augmentation, dropout, GAP, turns.

    python benchmarks/claims.py --colour cifar10/cifar10_decoded_10k.npz --data mnist [--only pieces moves turns]
                                [--seeds 5] [--out claims.jsonl]

pieces: one net of three convolutions on 10,000 photos of CIFAR-10, and the same with one thing changed: pooling
    windows that overlap (Krizhevsky 2012, section 3.4), local response normalisation (3.3), flips and shifts (4.1),
    dropout (4.2), a global average in place of the dense layer (Lin 2013, section 3.2). All with the same seeds.
moves: the net learns five classes and is fine-tuned on the other five: how far each layer's weights move.
turns: LeNet-5 learns the digits; what it answers to digits that are shifted and turned.

A line of JSON a training; `--summary FILE` prints the paired differences with their 95 % intervals (Student's, over seeds).
"""

import argparse
import json
import math
import statistics
import sys
import time
from pathlib import Path

import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

import striate
from striate.layers.norm import LocalResponseNorm
from striate.models import init
from striate.models.catalog import build

ARMS = ("plain", "overlap", "lrn", "augment", "dropout", "gap")
EPOCHS, SIZE, RATE, CLEAN = 10, 64, 0.01, 0.25  # CLEAN: a training error that all arms reach


def small(arm, seed, classes=10):
    """Three convolutions and a dense layer; `arm` names what is changed."""
    pool = (3, 2, 0, 1, False, True) if arm == "overlap" else (2, 2)
    layers = []
    for i, (before, maps, side) in enumerate([(3, 32, 5), (32, 32, 5), (32, 64, 3)]):
        layers += [nn.Conv2d(before, maps, side, padding=side // 2), nn.ReLU()]
        if arm == "lrn" and i < 2:
            layers += [LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2, window="sum")]
        layers += [nn.MaxPool2d(*pool)]
    if arm == "gap":
        layers += [nn.Conv2d(64, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    else:
        layers += [nn.Flatten(), nn.Linear(64 * 16, 128), nn.ReLU()]
        layers += [nn.Dropout(0.5)] if arm == "dropout" else []
        layers += [nn.Linear(128, classes)]
    net = nn.Sequential(*layers)
    init.he_inputs(net, torch.Generator().manual_seed(seed))
    return net.to(memory_format=torch.channels_last)


def moved(x, generator):
    """Each picture mirrored or not, and shifted by up to four pixels with its border repeated."""
    flip = torch.rand(len(x), generator=generator) < 0.5
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    padded = F.pad(x, (4, 4, 4, 4), mode="replicate")
    dy, dx = torch.randint(0, 9, (2, len(x)), generator=generator)
    return torch.stack(
        [p[:, a : a + 32, b : b + 32] for p, a, b in zip(padded, dy.tolist(), dx.tolist(), strict=True)]
    )  # fmt: skip


@torch.no_grad()
def error(net, x, y):
    """Share of wrong answers."""
    net.eval()
    wrong = sum(
        int((net(x[i : i + 500]).argmax(1) != y[i : i + 500]).sum()) for i in range(0, len(x), 500)
    )
    net.train()
    return wrong / len(x)


def fit(net, x, y, *, seed, epochs=EPOCHS, augment=False, watch=None):
    """SGD with momentum 0.9 under a cosine; steps after which the error on `watch` was under CLEAN."""
    generator = torch.Generator().manual_seed(1000 + seed)
    torch.manual_seed(seed)  # noqa: TID251 - dropout draws from the global generator
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4)
    steps = epochs * (len(x) // SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    step, clean = 0, None
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for i in range(0, len(x) - SIZE + 1, SIZE):
            index = order[i : i + SIZE]
            pictures = moved(x[index], generator) if augment else x[index]
            loss = F.cross_entropy(
                net(pictures.contiguous(memory_format=torch.channels_last)), y[index]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            step += 1
            if (
                watch is not None
                and clean is None
                and step % 50 == 0
                and error(net, *watch) < CLEAN
            ):
                clean = step
    return clean


def photos(path):
    """Training and test photos of ten classes, channels normalised."""
    opened = striate.open(path)
    parts = [opened.arrays(split, size=(32, 32), color="rgb") for split in ("train", "test")]
    mean, std = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)
    return [
        ((torch.from_numpy(p.inputs).permute(0, 3, 1, 2).float() - torch.tensor(mean).view(3, 1, 1))
         / torch.tensor(std).view(3, 1, 1), torch.from_numpy(p.targets)) for p in parts
    ]  # fmt: skip


def pieces(given):
    """A row a net and seed."""
    (x, y), (tx, ty) = photos(given.colour)
    for seed in range(given.seeds):
        for arm in ARMS:
            net, start = small(arm, seed), time.process_time()
            steps = fit(net, x, y, seed=seed, augment=arm == "augment", watch=(x[:1000], y[:1000]))
            yield {
                "part": "pieces", "arm": arm, "seed": seed, "error": error(net, tx, ty),
                "train_error": error(net, x, y), "steps_to_clean": steps,
                "weights": sum(p.numel() for p in net.parameters()),
                "seconds": round(time.process_time() - start, 1),
            }  # fmt: skip


def moves(given):
    """How far the weights of each layer are from where they were, as a share of their norm."""
    (x, y), (tx, ty) = photos(given.colour)
    for seed in range(given.seeds):
        net = small("plain", seed, classes=5)
        first, second = y < 5, y >= 5
        fit(net, x[first], y[first], seed=seed)
        head = small("plain", 100 + seed, classes=5)[-1]
        net[-1].load_state_dict(head.state_dict())
        before = {k: p.detach().clone() for k, p in net.named_parameters() if p.ndim > 1}
        fit(net, x[second], y[second] - 5, seed=seed, epochs=10)
        share = {
            k: round(float((p.detach() - before[k]).norm() / before[k].norm()), 3)
            for k, p in net.named_parameters() if k in before
        }  # fmt: skip
        yield {
            "part": "moves", "seed": seed, "moved": share,
            "error": error(net, tx[ty >= 5], ty[ty >= 5] - 5),
        }  # fmt: skip


def turned(x, degrees=0.0, shift=0):
    """Digits turned about their middle and shifted to the right, in one interpolation; zeros come in."""
    a = math.radians(degrees)
    theta = torch.tensor(
        [[math.cos(a), -math.sin(a), -2 * shift / 28], [math.sin(a), math.cos(a), 0]]
    )
    grid = F.affine_grid(theta.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False, padding_mode="zeros")


def turns(given):
    """Accuracy of LeNet-5 on shifted and turned digits, taught with the digits as they are and with turned ones."""
    opened = striate.open(given.data)
    (x, y), (tx, ty) = (
        (torch.from_numpy(p.inputs[..., 0])[:, None].float() / 255, torch.from_numpy(p.targets))
        for p in (opened.arrays(s, size=(28, 28), color="grey") for s in ("train", "test"))
    )
    for seed in range(min(3, given.seeds)):
        for taught in ("as they are", "turned by up to 180"):
            net = build("lenet5", size=28, generator=torch.Generator().manual_seed(seed))
            generator = torch.Generator().manual_seed(seed)
            optimiser = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
            steps = 4 * len(x) // 64
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            for _ in range(steps):
                index = torch.randint(len(x), (64,), generator=generator)
                pictures = x[index]
                if taught != "as they are":
                    angle = 360 * float(torch.rand((), generator=generator)) - 180
                    pictures = turned(pictures, angle)
                loss = F.cross_entropy(net(pictures), y[index])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            yield {
                "part": "turns", "seed": seed, "taught": taught,
                "shift": {s: round(1 - error(net, turned(tx, shift=s), ty), 4) for s in range(6)},
                "turn": {
                    d: round(1 - error(net, turned(tx, degrees=d), ty), 4)
                    for d in (0, 10, 20, 30, 45, 60, 90, 180)
                },
            }  # fmt: skip


def interval(values):
    """Mean of paired differences and its 95 % interval over seeds."""
    mean = statistics.mean(values)
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def summary(path):
    """Paired differences of every arm to the plain net."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    pieces = {(r["arm"], r["seed"]): r for r in rows if r["part"] == "pieces"}
    seeds = sorted({seed for _, seed in pieces})
    for arm in ARMS:
        own = [pieces[arm, s] for s in seeds if (arm, s) in pieces and ("plain", s) in pieces]
        if not own:
            continue
        gains = [100 * (pieces["plain", r["seed"]]["error"] - r["error"]) for r in own]
        mean = statistics.mean(100 * r["error"] for r in own)
        print(
            f"{arm}: test error {mean:.1f} %, gain {interval(gains) if arm != 'plain' and len(own) > 1 else '-'} points, "
            f"training error {statistics.mean(100 * r['train_error'] for r in own):.1f} %, "
            f"steps to a training error of 25 % {[r['steps_to_clean'] for r in own]}, {own[0]['weights']:,} weights"
        )
    for row in rows:
        if row["part"] != "pieces":
            print(json.dumps(row))


def main():
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--colour", default="cifar10")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--only", nargs="+", choices=["pieces", "moves", "turns"], default=["pieces", "moves", "turns"])  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("claims.jsonl"))
    parser.add_argument("--summary", type=Path)
    given = parser.parse_args()
    if given.summary:
        return summary(given.summary)
    with given.out.open("a") as file:
        for part in given.only:
            for row in {"pieces": pieces, "moves": moves, "turns": turns}[part](given):
                print(json.dumps(row), file=file, flush=True)
                print(json.dumps(row), flush=True)
    return None


if __name__ == "__main__":
    sys.exit(main())
