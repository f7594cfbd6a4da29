"""What masks and boxes cost beside the net: counting in a step, decoding, answering a folder.

    python benchmarks/tasks.py [--rounds 7] [--pictures 10000] [--one-core]

counting: what the scores of a batch take, training's own and the meter's, as a share of a training step. decoding: boxes out of
grids with suppression, and class maps brought to the pictures' sizes, as a share of the forward pass. folder: `predict`
of JPEGs on the disk with its answers written, against decoding, forward pass and arg max of the same files alone, in
threads as `predict` decodes them. All on pictures that the script draws: bright rectangles on noise.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import turns
from PIL import Image

import striate
from striate.data import picture
from striate.runs import Run

SIDE = 256
WARM = 8  # epochs, after which a net answers like one that has learned something


def drawn(rng: np.random.Generator, side: int) -> tuple[np.ndarray, list[int]]:
    """A picture with one rectangle, and its corners."""
    image = rng.integers(0, 90, (side, side, 3), dtype=np.uint8)
    x0, y0 = rng.integers(0, side // 2, 2).tolist()
    x1, y1 = (corner + int(rng.integers(side // 8, side // 2)) for corner in (x0, y0))
    image[y0:y1, x0:x1] += 120
    return image, [x0, y0, x1, y1]


def data_of(task: str, root: Path, count: int = 48) -> Path:
    """Pictures with masks or boxes."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    images, boxes = [], []
    for i in range(count):
        image, (x0, y0, x1, y1) = drawn(rng, SIDE)
        Image.fromarray(image).save(root / "images" / f"{i}.jpg")
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[y0:y1, x0:x1] = 1
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.jpg", "height": SIDE, "width": SIDE})
        boxes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]})
    if task == "detect":
        shutil.rmtree(root / "masks")
        kinds = [{"id": 1, "name": "rectangle"}]
        whole = {"images": images, "annotations": boxes, "categories": kinds}
        (root / "annotations.json").write_text(json.dumps(whole))
    return root


SETTINGS = {
    "segment": {"net": "unet_same", "width": 0.25, "size": SIDE, "batch": 8},
    "detect": {
        "net": "yolo_grid", "backbone": "resnet18", "width": 0.5, "size": SIDE, "batch": 8,
    },
}  # fmt: skip


def share(work: str, part: list[float], whole: list[float], limit: float) -> turns.Row:
    """A row: one time as a share of another."""
    shares = [a / b for a, b in zip(part, whole, strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    row = {
        "work": work,
        "share": f"{middle:.2%}",
        "quartiles": [f"{low:.2%}", f"{high:.2%}"],
        "limit": f"{limit:.0%}",
        "rounds": len(shares),
    }
    print(json.dumps(row), flush=True)
    return row


def steps(task: str, folder: Path, rounds: int) -> list[turns.Row]:
    """Counting and decoding of one task."""
    opened = striate.open(folder)
    job, state = turns.prepared(opened, {**SETTINGS[task], "epochs": 1})
    totals: list = []
    epoch = turns.epoch(job, state, totals)
    batches = job.batches
    for _ in range(WARM):
        epoch()
    index = next(iter(batches.order(0)))
    x, target = batches.take(index, 0, 0)
    with torch.no_grad(), job.plan.autocast():
        answer = job.task.outputs(state.net, job.plan.batch(x))

    sizes = [(SIDE, SIDE)] * len(x)
    held = opened.splits["train"].targets
    truths = [held.truth(i) for i in range(len(x))]
    decoded = job.task.decode(answer, sizes)

    def count() -> None:
        for _ in range(batches.steps):
            for value in job.task.counts(answer, target).values():
                float(value)
            job.task.meter().add(decoded, truths)

    times = turns.in_turns({"steps": epoch, "counting": count}, rounds)
    work = f"{task}: counting a batch, of a training step, {turns.plan_words(job)}"
    rows = [share(work, times["counting"], times["steps"], 0.02)]

    state.net.eval()

    def forward() -> None:
        with torch.inference_mode(), job.plan.autocast():
            job.task.outputs(state.net, job.plan.batch(x))

    ways = {"scored": job.task, "predicted": job.task.tuned({})}
    calls = {name: partial(way.decode, answer, sizes) for name, way in ways.items()}
    times = turns.in_turns({"forward": forward, **calls}, 5 * rounds)
    for name in ways:
        work = f"{task}: decoding of {len(x)} pictures as they are {name}, {turns.plan_words(job)}"
        rows.append(share(work, times[name], times["forward"], 0.1))
    return rows


def folder_of(root: Path, count: int) -> list[Path]:
    """JPEGs of 256 pixels a side; a few pictures under many names."""
    rng = np.random.default_rng(1)
    root.mkdir()
    for i in range(min(count, 100)):
        Image.fromarray(drawn(rng, SIDE)[0]).save(root / f"{i:05d}.jpg", quality=90)
    for i in range(100, count):
        shutil.copy(root / f"{i % 100:05d}.jpg", root / f"{i:05d}.jpg")
    return sorted(root.iterdir())


def bare(run: Run, files: list[Path]) -> turns.Call:
    """Decoding in threads, the forward pass and the arg max, nothing else."""
    used = run.used
    form = used.preprocessing.form

    def read(path: Path) -> np.ndarray:
        return picture(path, size=form.size, color=form.color, fit=form.fit)

    def call() -> None:
        threads = torch.get_num_threads()
        at_once = used.batch_size(np.empty((0, *used.preprocessing.resize, 1), np.uint8))
        used.net.eval()
        with ThreadPoolExecutor(threads) as pool, torch.inference_mode():
            chunks = [files[i : i + at_once] for i in range(0, len(files), at_once)]
            ahead = [pool.map(read, chunk) for chunk in chunks[:3]]
            for i in range(len(chunks)):
                stored = np.stack(list(ahead.pop(0)))
                if i + 3 < len(chunks):
                    ahead.append(pool.map(read, chunks[i + 3]))
                used.outputs(stored).argmax(1)

    return call


def folder(root: Path, count: int, rounds: int) -> turns.Row:
    """`predict` of a folder of pictures by a classifier, with its answers written."""
    for label in ("dark", "bright"):
        (root / "classes" / label).mkdir(parents=True)
        for i in range(12):
            value = 40 + 5 * i + 100 * (label == "bright")
            path = root / "classes" / label / f"{i}.png"
            Image.fromarray(np.full((64, 64, 3), value, np.uint8)).save(path)
    settings = {"net": "resnet18", "width": 0.25, "size": 128, "epochs": 1, "augment": "none"}
    run = striate.train(root / "classes", out=root / "runs", plan="default", **settings)
    files = folder_of(root / "pictures", count)
    done = iter(range(1000))

    def whole() -> None:
        run.predict(root / "pictures", out=root / f"answers{next(done)}")

    times = turns.in_turns({"predict": whole, "bare": bare(run, files)}, rounds)
    shares = [a / b for a, b in zip(times["predict"], times["bare"], strict=True)]
    low, middle, high = statistics.quantiles(shares, n=4)
    row = {
        "work": f"predict of {count:,} JPEGs of {SIDE}x{SIDE}, resnet18 width 0.25 at 128",
        "ratio": round(middle, 3),
        "quartiles": [round(low, 3), round(high, 3)],
        "limit": 1.2,
        "seconds": round(statistics.median(times["predict"]), 1),
        "rounds": rounds,
    }
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--one-core", action="store_true", help="CPU time of one core")
    asked = parser.parse_args()
    if asked.one_core:
        turns.one_core()
    machine = turns.machine()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        rows = [
            row
            for task in SETTINGS
            for row in steps(task, data_of(task, root / task), asked.rounds)
        ]
        if asked.pictures:
            rows.append(folder(root, asked.pictures, min(3, asked.rounds)))
        turns.report(machine, rows)


if __name__ == "__main__":
    main()
