"""What `striate train DATA budget=...` gives against loops that people write themselves, in the same processor time.

    python benchmarks/defaults.py [--sets cifar500 clothing ...] [--seconds 60] [--seeds 0 1 2] [--out FILE] [key=value ...]

Each training is a process of its own with one thread, timed from its start to its end: imports, reading and the answers to
the test items count. The peers:

- `blocks`: three convolutions with batch normalisation and pooling, Adam at 0.001, flips, 64 pixels (or the pictures' own, if
  smaller); of all epochs in the time the one that was best on a fifth held out.
- `keras`: the net of the Keras tutorial on image classification: 180 pixels, three convolutions, 128 units, flips, rotations,
  zooms and dropout, Adam at 0.001; likewise.
- `onecycle`: ResNet-18 from scratch with one cycle of the learning rate over the time (Smith 2018), AdamW, flips, crops,
  light; 128 pixels.

Differences are paired over the test items, each with the mean over its seeds, and p is corrected for the number of
comparisons by Holm's method.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SHARED = Path(os.environ.get("STRIATE_SHARED", "../shared"))
PEERS = ("blocks", "keras", "onecycle")


# ------------------------------------------------------------------------------------------------------- the data


def _jpegs(path: Path, count: int, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as held:
        block, at, labels = held["bytes"].tobytes(), held["offsets"], held["labels"]
    images = []
    for i in range(count):
        image = Image.open(io.BytesIO(block[at[i] : at[i + 1]])).convert("RGB")
        images.append(np.asarray(image.resize((size, size)) if size else image))
    return np.stack(images), labels[:count].astype(np.int64)


def cifar(count: int, size: int | None = None):
    """The first pictures of CIFAR-10 as JPEG, and 2,000 to test on."""
    folder = SHARED / "data/cifar10"
    return (
        *_jpegs(folder / "cifar10_jpeg_train.npz", count, size),
        *_jpegs(folder / "cifar10_jpeg_test.npz", 2000, size),
    )


def mnist(count: int):
    """The first digits of MNIST, and 2,000 to test on."""
    import gzip

    def read(name: str, head: int, shape: tuple[int, ...]) -> np.ndarray:
        with gzip.open(SHARED / "data/mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=head).reshape(-1, *shape)

    train, test = "train-", "t10k-"
    images, labels = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
    return (
        read(train + images, 16, (28, 28))[:count], read(train + labels, 8, ())[:count].astype(np.int64),
        read(test + images, 16, (28, 28))[:2000], read(test + labels, 8, ())[:2000].astype(np.int64),
    )  # fmt: skip


def cells(most: int = 1500):
    """Blood cells cut out of the pictures of BCCD, 64x64, by the published lists; at most so many red ones."""
    from xml.etree import ElementTree

    root, kinds = SHARED / "data/bccd", ["RBC", "WBC", "Platelets"]
    found = []
    for names in ("trainval", "test"):
        images, labels = [], []
        for name in (root / f"ImageSets/Main/{names}.txt").read_text().split():
            picture = Image.open(root / f"JPEGImages/{name}.jpg")
            tree = ElementTree.parse(root / f"Annotations/{name}.xml")  # noqa: S314 - of a known set
            for each in tree.iter("object"):
                kind = kinds.index(each.findtext("name"))
                box = [
                    int(each.find("bndbox").findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax")
                ]
                if box[2] <= box[0] or box[3] <= box[1] or (kind == 0 and labels.count(0) >= most):
                    continue
                images.append(np.asarray(picture.crop(box).resize((64, 64))))
                labels.append(kind)
        found += [np.stack(images), np.array(labels)]
    return tuple(found)


def spoken():
    """Spoken digits as pictures: log spectrograms of 64x64, grey; takes 0 to 4 of each speaker to test on."""
    import wave

    from scipy.signal import spectrogram

    found = {True: ([], []), False: ([], [])}
    for path in sorted((SHARED / "data/free_spoken_digits/recordings").glob("*.wav")):
        digit, _, take = path.stem.split("_")
        with wave.open(str(path)) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
        heard = np.pad(heard[:5600], (0, max(0, 5600 - len(heard))))
        power = np.log(spectrogram(heard, 8000, nperseg=256, noverlap=170)[2] + 1e-10)
        grey = np.clip((power + 23) * 11, 0, 255).astype(np.uint8)
        images, labels = found[int(take) < 5]
        images.append(np.asarray(Image.fromarray(grey).resize((64, 64))))
        labels.append(int(digit))
    return tuple(np.array(a) for test in (False, True) for a in found[test])


def membrane(each: int = 100):
    """Patches of 32x32 around pixels of nerve tissue: membrane or not; slices 20 to 29 to test on."""
    rng, root = np.random.default_rng(0), SHARED / "data/isbi_membrane/train"
    found = []
    for slices in (range(20), range(20, 30)):
        images, labels = [], []
        for number in slices:
            picture, mask = (
                np.asarray(Image.open(root / f"{k}/{number}.png")) for k in ("image", "label")
            )
            for kind, places in enumerate((mask == 0, mask == 255)):
                ys, xs = np.nonzero(places[16:-16, 16:-16])
                for i in rng.choice(len(ys), each // 2, replace=False):
                    images.append(picture[ys[i] : ys[i] + 32, xs[i] : xs[i] + 32])
                    labels.append(kind)
        found += [np.stack(images), np.array(labels)]
    return tuple(found)


ARRAYS = {
    "cifar500": lambda: cifar(500),
    "cifar5000": lambda: cifar(5000),
    "cifar28": lambda: cifar(2750, 28),
    "mnist1000": lambda: mnist(1000),
    "cells": cells,
    "spoken": spoken,
    "membrane": membrane,
}
SETS = ("clothing", *ARRAYS)


def laid_out(name: str, folder: Path) -> Path:
    """The data of a set as Striate takes them."""
    if name == "clothing":
        return SHARED / "data/clothing"
    path = folder / f"{name}.npz"
    if not path.exists():
        x, y, x_test, y_test = ARRAYS[name]()
        np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path


def read(path: Path, size: int, least: int = 0) -> dict[str, np.ndarray]:
    """Train, val and test as a peer reads them: pictures [N, H, W, C] of `least` to `size` pixels, and labels."""
    if path.is_dir():
        classes = sorted(p.name for p in (path / "train").iterdir())
        held = {}
        for split, key in (("train", "train"), ("validation", "val"), ("test", "test")):
            names = sorted((path / split).glob("*/*"))
            pictures = (Image.open(n).convert("RGB").resize((size, size)) for n in names)
            held[f"x_{key}"] = np.stack([np.asarray(p) for p in pictures])
            held[f"y_{key}"] = np.array([classes.index(n.parent.name) for n in names])
        return held
    with np.load(path) as file:
        held = dict(file)
    for key in [k for k in held if k.startswith("x_")]:
        x = held[key]
        side = max(least, min(size, x.shape[1]))
        if x.shape[1] != side:
            x = np.stack([np.asarray(Image.fromarray(i).resize((side, side))) for i in x])
        held[key] = x[..., None] if x.ndim == 3 else x
    order = np.random.default_rng(0).permutation(len(held["x_train"]))
    part = len(order) // 5
    x, y = held["x_train"], held["y_train"]
    held["x_val"], held["y_val"] = x[order[:part]], y[order[:part]]
    held["x_train"], held["y_train"] = x[order[part:]], y[order[part:]]
    return held


# ------------------------------------------------------------------------------------------------------ the peers


def peer(name: str, path: Path, seconds: float, seed: int, out: Path) -> None:  # noqa: C901, PLR0915 - a script of one go
    """Train one of them for so many seconds since the process began; writes its answers to the test items."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.random.default_generator.manual_seed(seed)
    size = {"blocks": 64, "keras": 180, "onecycle": 128}[name]
    least = 32 if name == "onecycle" else 0  # its strides
    data = {k: torch.from_numpy(v) for k, v in read(path, size, least).items()}
    data = {k: v.permute(0, 3, 1, 2).contiguous() if k[0] == "x" else v for k, v in data.items()}
    classes = int(data["y_train"].max()) + 1
    channels, side = data["x_train"].shape[1:3]

    def blocks():
        layers, before = [], channels
        for width in (32, 64, 128):
            layers += [
                nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)
            ]  # fmt: skip
            before = width
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes)
        )

    def keras():
        layers, before = [], channels
        for width in (16, 32, 64):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        flat = 64 * (side // 8) ** 2
        return nn.Sequential(
            *layers, nn.Dropout(0.2), nn.Flatten(), nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, classes)
        )  # fmt: skip

    def resnet18():
        import striate

        return striate.build("resnet18", in_channels=channels, num_classes=classes, size=side)

    net = {"blocks": blocks, "keras": keras, "onecycle": resnet18}[name]()

    def warped(x, turn: float, zoom: float):
        angle = (torch.rand(len(x)) * 2 - 1) * turn
        by = 1 + (torch.rand(len(x)) * 2 - 1) * zoom
        cos, sin = by * angle.cos(), by * angle.sin()
        zero = torch.zeros_like(cos)
        matrix = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)  # fmt: skip
        return F.grid_sample(x, F.affine_grid(matrix, list(x.shape), align_corners=False), padding_mode="reflection", align_corners=False)  # fmt: skip

    def views(x):
        flips = torch.rand(len(x)) < 0.5
        x = torch.where(flips[:, None, None, None], x.flip(3), x)
        if name == "keras":
            return warped(x, 0.2 * 3.14, 0.1)
        if name == "onecycle":
            x = warped(x, 0.17, 0.1)
            return x * (1 + 0.2 * (torch.rand(len(x), 1, 1, 1) * 2 - 1))
        return x

    mean = data["x_train"].float().mean((0, 2, 3), keepdim=True)
    std = data["x_train"].float().std((0, 2, 3), keepdim=True)
    batch = {"blocks": 32, "keras": 32, "onecycle": 64}[name]
    opt = (
        torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01)
        if name == "onecycle"
        else torch.optim.Adam(net.parameters(), lr=1e-3)
    )

    def answers(key: str):
        net.eval()
        with torch.no_grad():
            parts = data[f"x_{key}"].split(256)
            return torch.cat([net((p.float() - mean) / std) for p in parts])

    spent, best, kept, epochs = time.process_time, -1.0, None, 0
    count = len(data["x_train"])
    began = spent()
    testing = 0.0  # what answering the held-out and the test items will take
    over = False
    while not over:
        net.train()
        for index in torch.randperm(count).split(batch):
            if len(index) < 2:
                continue
            share = (spent() - began) / max(1e-9, seconds - began - testing)
            if share >= 1:
                over = True
                break
            if name == "onecycle":
                rate = (
                    share / 0.3 if share < 0.3 else 0.5 * (1 + np.cos(np.pi * (share - 0.3) / 0.7))
                )
                opt.param_groups[0]["lr"] = 4e-3 * max(0.01, float(rate))
            x = views((data["x_train"][index].float() - mean) / std)
            loss = F.cross_entropy(net(x), data["y_train"][index])
            opt.zero_grad()
            loss.backward()
            opt.step()
        epochs += 1
        before = spent()
        right = float((answers("val").argmax(1) == data["y_val"]).float().mean())
        testing = (spent() - before) * (1 + len(data["x_test"]) / len(data["x_val"]))
        if name != "onecycle" and right >= best:
            best, kept = right, {k: v.clone() for k, v in net.state_dict().items()}
    if kept:
        net.load_state_dict(kept)
    right = (answers("test").argmax(1) == data["y_test"]).int().tolist()
    out.write_text(json.dumps({"right": right, "words": f"{epochs} epochs"}))


def ours(path: Path, seconds: float, seed: int, out: Path, settings: list[str]) -> None:
    """The command with its defaults; writes whether each test item was answered rightly."""
    command = [sys.executable, "-c", BY_PROCESSOR, "train", str(path), f"budget={seconds:g}", f"seed={seed}"]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STRIATE_CACHE"] = f"{folder}/cache"
        start = time.perf_counter()
        command += ["--out", folder, "--name", "run", *settings]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        wall, used = time.perf_counter() - start, processor(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr}")
        import striate

        run = striate.Run.load(next(Path(folder).glob("*/run")))
        rows = run.held(striate.open(str(path)), "test").rows
        said = [line for line in done.stderr.splitlines() if line.startswith("chosen")]
        last = [line for line in done.stderr.splitlines() if line.startswith("epoch")][-1:]
    found = {
        "right": [int(row["accuracy"]) for row in rows],
        "words": " | ".join(said + last),
        "processor": used,
        "wall": wall,
    }
    out.write_text(json.dumps(found))


# The command with a clock of processor time, so that other programs take nothing of its budget.
BY_PROCESSOR = """
import sys, time
import concurrent.futures, queue, torch
time.monotonic = time.process_time
from striate.cli import main
from striate.workbench import progress
progress.process_began = lambda: 0.0
sys.exit(main())
"""


def processor(who: int) -> float:
    """Seconds of processor time."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


# ------------------------------------------------------------------------------------------------- the comparison


def timed(args: list[str], out: Path) -> dict:
    """One training in a process of its own."""
    before, start = processor(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, __file__, "--one", *args, str(out)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    whole = {
        "processor": processor(resource.RUSAGE_CHILDREN) - before,
        "wall": time.perf_counter() - start,
    }
    return {**whole, **json.loads(out.read_text())}


def holm(p: list[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    order, worst, found = sorted(range(len(p)), key=p.__getitem__), 0.0, [0.0] * len(p)
    for rank, i in enumerate(order):
        worst = max(worst, min(1.0, p[i] * (len(p) - rank)))
        found[i] = worst
    return found


def compare(results: list[dict]) -> None:
    """Print a table: mean accuracies, paired differences, ranks."""
    from striate.metrics.compare import paired

    def right(of: str, name: str) -> np.ndarray:
        runs = [r["right"] for r in results if (r["set"], r["net"]) == (of, name)]
        return np.mean(runs, axis=0)

    names = list(dict.fromkeys(r["net"] for r in results))
    sets = list(dict.fromkeys(r["set"] for r in results))
    rows, ps = [], []
    for of in sets:
        scores = {name: float(right(of, name).mean()) for name in names}
        print(of, "  ".join(f"{name} {score:.1%}" for name, score in scores.items()))
        for name in names[1:]:
            found = paired(right(of, name), right(of, names[0]))
            rows.append((of, name, found))
            ps.append(found.p)
    for (of, name, found), p in zip(rows, holm(ps), strict=True):
        print(
            f"{of}: {names[0]} - {name} {100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}) points, p {p:.3f}"
        )
    for name in names:
        ranks = [
            1 + sum(right(of, o).mean() > right(of, name).mean() for o in names) for of in sets
        ]
        print(f"mean rank of {name}: {np.mean(ranks):.2f}")


def main() -> None:
    """Run what is asked for, and keep what is done in a file: it goes on from there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", help="key=value for our own command")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--nets", nargs="+", default=["default", *PEERS])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=None, help="JSON lines")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, path, seconds, seed, *settings, out = args.settings
        if name in PEERS:
            peer(name, Path(path), float(seconds), int(seed), Path(out))
        else:
            ours(Path(path), float(seconds), int(seed), Path(out), settings)
        return
    done = []
    if args.out and args.out.exists():
        done = [json.loads(line) for line in args.out.read_text().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for of in args.sets:
                for name in args.nets:
                    key = {"set": of, "net": name, "seconds": args.seconds, "seed": seed}
                    if any(key.items() <= each.items() for each in done):
                        continue
                    path, out = laid_out(of, Path(folder)), Path(folder) / "answers.json"
                    settings = [] if name in PEERS else args.settings
                    found = timed([name, str(path), str(args.seconds), str(seed), *settings], out)
                    done.append({**key, **found})
                    print(
                        f"{of} {name} seed {seed}: {np.mean(found['right']):.1%}, {found['processor']:.0f} s of processor "
                        f"time, {found['wall']:.0f} s; {found['words']}",
                        flush=True,
                    )
                    if args.out:
                        with args.out.open("a") as file:
                            file.write(json.dumps(done[-1]) + "\n")
    compare([r for r in done if r["seconds"] == args.seconds and r["set"] in args.sets])


if __name__ == "__main__":
    main()
