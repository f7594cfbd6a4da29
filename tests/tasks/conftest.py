"""Small data for each task of Striate, and the settings that train on them in a moment."""

import json
import wave as wavefile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import data

SIDE = 32


@dataclass(frozen=True)
class Case:
    """A task, what writes data for it, and the settings of a short training."""

    task: str
    write: Callable[[Path], Path]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    score: str = ""
    answer: str = ""
    files: str = "*.png"  # that are answered
    packs: bool = True  # whether they can lie in shards
    rolling: bool = False  # whether folds follow each other in time

    def open(self, path: Path, **more: Any) -> data.Data:
        """The data as the settings say."""
        return data.open(path, **self.opening, **more)

    @property
    def opening(self) -> dict[str, Any]:
        """The task, where the data do not say it."""
        return {key: self.settings[key] for key in ("task",) if key in self.settings}

    def some(self, folder: Path, count: int) -> list[Path]:
        """Files to answer, some of them twice under another name where there are too few."""
        found = sorted((folder / "images").glob(self.files)) or sorted(folder.rglob(self.files))
        for k in range(len(found), count):
            copy = folder.parent / f"copy{k}{found[0].suffix}"
            copy.write_bytes(found[0].read_bytes())
            found.append(copy)
        return found[:count]


def _pictures(count: int) -> list[tuple[np.ndarray, tuple[int, int, int, int], int]]:
    """Noise with one bright rectangle, upright or lying: picture [H, W, 3], box, and which of the two."""
    rng = np.random.default_rng(3)
    made = []
    for i in range(count):
        picture = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        high, wide = ((14, 6), (6, 14))[i % 2]
        top, left = (int(rng.integers(1, SIDE - n - 1)) for n in (high, wide))
        picture[top : top + high, left : left + wide] = 220
        made.append((picture, (left, top, left + wide, top + high), i % 2))
    return made


def write_classes(root: Path) -> Path:
    """A folder a class."""
    for i, (picture, _, kind) in enumerate(_pictures(24)):
        folder = root / ("upright", "lying")[kind]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{i:02d}.png")
    return root


def write_masks(root: Path) -> Path:
    """images/ and masks/ with class numbers; 255 counts nowhere."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for i, (picture, (x0, y0, x1, y1), kind) in enumerate(_pictures(24)):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[y0:y1, x0:x1] = 1 + kind
        mask[0] = 255
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i:02d}.png")
    (root / "classes.txt").write_text("noise\nupright\nlying\n")
    return root


def write_boxes(root: Path) -> Path:
    """COCO's JSON; two pictures hold nothing."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i, (picture, (x0, y0, x1, y1), kind) in enumerate(_pictures(24)):
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        images.append({"id": i, "file_name": f"{i:02d}.png", "height": SIDE, "width": SIDE})
        box = [x0, y0, x1 - x0, y1 - y0]
        row = {
            "id": i,
            "image_id": i,
            "category_id": kind + 1,
            "bbox": box,
            "iscrowd": 0,
            "area": 84,
        }
        annotations += [] if i in (4, 9) else [row]
    kinds = [{"id": 1, "name": "upright"}, {"id": 2, "name": "lying"}]
    whole = {"images": images, "annotations": annotations, "categories": kinds}
    (root / "annotations.json").write_text(json.dumps(whole))
    return root


def write_one_box(root: Path) -> Path:
    """boxes.csv: the one rectangle of each picture and which it is."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ["file,xmin,ymin,xmax,ymax,label"]
    for i, (picture, box, kind) in enumerate(_pictures(24)):
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        lines.append(f"images/{i:02d}.png,{','.join(map(str, box))},{('upright', 'lying')[kind]}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")
    return root


def write_labels(root: Path) -> Path:
    """labels.csv with semicolons: lying or upright, and whether it stands in the upper half; some have neither."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ["path,labels"]
    for i, (picture, (_, y0, _, y1), kind) in enumerate(_pictures(24)):
        labels = [("upright", "lying")[kind]] if i % 8 != 7 else []
        labels.extend(["upper"] * (y0 + y1 < SIDE))
        Image.fromarray(picture // (4 if i % 8 == 7 else 1)).save(root / "images" / f"{i:02d}.png")
        lines.append(f"images/{i:02d}.png,{';'.join(labels) or ';'}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def write_sound_labels(root: Path) -> Path:
    """labels.csv of sounds of noise with a low tone, a high one, both or none."""
    (root / "sounds").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(11)
    lines = ["path,low,high"]
    for i in range(24):
        low, high = i % 2, i // 2 % 2
        at = np.arange(2000) / 8000
        wave = 0.05 * rng.normal(size=2000)
        wave += 0.4 * low * np.sin(2 * np.pi * 400 * at) + 0.4 * high * np.sin(
            2 * np.pi * 2500 * at
        )
        with wavefile.open(str(root / "sounds" / f"{i:02d}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((wave.clip(-1, 1) * 32767).astype("<i2").tobytes())
        lines.append(f"sounds/{i:02d}.wav,{low},{high}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


def write_pictures(root: Path) -> Path:
    """Pictures with nothing beside them; one is of one colour."""
    root.mkdir(parents=True, exist_ok=True)
    for i, (picture, _, _) in enumerate(_pictures(24)):
        Image.fromarray(np.full_like(picture, 90) if i == 3 else picture).save(
            root / f"{i:02d}.png"
        )
    return root


def write_instances(root: Path) -> Path:
    """images/ and masks/ with an id an object; ids jump, some touch, one picture has none and one is of one colour."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    for i in range(24):
        picture = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        ids = np.zeros((SIDE, SIDE), np.uint16)
        left = int(rng.integers(1, 5))
        for k in range(0 if i in (5, 6) else 1 + i % 3):
            box = slice(6, 18 + i % 7), slice(left + 9 * k, left + 9 * k + 9)
            picture[box] = 170 + 40 * (k % 2)
            ids[box] = 3 + 300 * k
        if i == 6:
            picture[:] = 90
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        Image.fromarray(ids).save(root / "masks" / f"{i:02d}.png")
    return root


def write_numbers(root: Path) -> Path:
    """values.csv: where the middle of the rectangle lies."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    lines = ["path,label"]
    for i, (picture, (x0, _, x1, _), _) in enumerate(_pictures(24)):
        Image.fromarray(picture).save(root / "images" / f"{i:02d}.png")
        lines.append(f"images/{i:02d}.png,{100.25 + (x0 + x1) / 2}")
    (root / "values.csv").write_text("\n".join(lines) + "\n")
    return root


def write_volumes(root: Path) -> Path:
    """Class folders of arrays: a bright box, deep or wide, in noise of 16 bits; one is smaller than the others."""
    rng = np.random.default_rng(3)
    for i in range(24):
        voxels = rng.integers(-100, 100, (12, 13, 14)).astype(np.int16)
        at = [slice(5, 7)] * 3
        at[0 if i % 2 else 2] = slice(1, 11)
        voxels[tuple(at)] = 900
        folder = root / ("wide", "deep")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{i:02d}.npy", voxels[:, :, : 12 if i == 7 else None])
    return root


def write_volume_masks(root: Path) -> Path:
    """images/ and masks/ of arrays: where the box is."""
    for i, path in enumerate(sorted(write_volumes(root / "source").rglob("*.npy"))):
        voxels = np.load(path)
        for name, values in (("images", voxels), ("masks", (voxels == 900).astype(np.uint8))):
            (root / name).mkdir(exist_ok=True)
            np.save(root / name / f"{i:02d}.npy", values)
        path.unlink()
    return root


def write_series(root: Path) -> Path:
    """speeds.csv, hours of five sensors on a tree with the day in them, some values missing; edges.csv; now.csv to answer."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    hours = np.arange(480)
    values = 10 + 3 * np.sin(2 * np.pi * (hours[:, None] / 24 + np.arange(5) / 5))
    values = values + rng.normal(0, 0.3, values.shape)
    start = np.datetime64("2024-03-04T00:00")
    lines = ["time,a,b,c,d,e"]
    for hour, row in zip(hours.tolist(), values, strict=True):
        cells = [
            "" if (hour, k) in {(30, 1), (31, 1), (200, 3)} else f"{v:.3f}"
            for k, v in enumerate(row)
        ]
        stamp = str(start + np.timedelta64(hour, "h")).replace("T", " ")
        lines.append(",".join([stamp, *cells]))
    (root / "speeds.csv").write_text("\n".join(lines) + "\n")
    pairs = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "e")]  # no ring, which nets begin with
    links = [f"{a},{b}" for a, b in pairs] + [f"{b},{a}" for a, b in pairs]
    (root / "edges.csv").write_text("\n".join(["from,to", *links]) + "\n")
    return root


def write_items(root: Path) -> Path:
    """A folder a class, a file a series of two channels: rises and falls in noise, one of them shorter."""
    rng = np.random.default_rng(7)
    for i in range(24):
        folder = root / ("rise", "fall")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        course = np.linspace(-1, 1, 32) * (1, -1)[i % 2]
        series = np.stack([course, -course]) + rng.normal(0, 0.2, (2, 32))
        np.savetxt(folder / f"{i:02d}.csv", series.T[: 32 - 3 * (i == 5)], "%.4f", delimiter=",")
    return root


SHORT: dict[str, Any] = {
    "plan": "default",
    "epochs": 2,
    "batch": 6,
    "health": 0,
    "optimizer": "adamw",
    "lr": 0.003,
}

CASES = {
    "classify": Case(
        "classify",
        write_classes,
        {
            **SHORT,
            "net": "allcnn_cifar",
            "width": 0.0625,
            "size": SIDE,
            "augment": "flip+translate",
        },
        "accuracy",
        "label",
    ),
    "volumes": Case(
        "classify",
        write_volumes,
        {**SHORT, "net": "voxnet", "width": 0.125, "augment": "flip_depth+translate"},
        "accuracy",
        "label",
        "*.npy",
        packs=False,
    ),
    "volumes with masks": Case(
        "segment",
        write_volume_masks,
        {**SHORT, "net": "unet3d_same", "width": 0.0625, "augment": "flip+translate", "patch": 8},
        "miou",
        "classes",
        "*.npy",
        packs=False,
    ),
    "regress": Case(
        "regress",
        write_numbers,
        {**SHORT, "net": "resnet20_cifar", "width": 0.25, "size": SIDE, "augment": "none"},
        "mae",
        "value",
    ),
    "reconstruct": Case(
        "reconstruct",
        write_pictures,
        {
            **SHORT,
            "task": "reconstruct",
            "net": "conv_autoencoder",
            "width": 0.25,
            "size": SIDE,
            "augment": "flip+translate",
            "loss": "l2+0.1*edge",
        },
        "psnr",
        "image",
    ),
    "instances": Case(
        "instances",
        write_instances,
        {
            **SHORT,
            "task": "instances",
            "net": "unet_same",
            "width": 0.0625,
            "augment": "flip+rotate",
        },
        "ap50",
        "instances",
    ),
    "forecast": Case(
        "forecast",
        write_series,
        {**SHORT, "net": "stgcn", "width": 0.125, "batch": 64},
        "mae",
        "forecast",
        files="speeds.csv",
        packs=False,
        rolling=True,
    ),
    "series": Case(
        "classify",
        write_items,
        {**SHORT, "net": "fcn1d", "width": 0.0625},
        "accuracy",
        "label",
        files="*.csv",
        packs=False,
    ),
    "localise": Case(
        "localise",
        write_one_box,
        {**SHORT, "net": "resnet20_cifar", "width": 0.25, "size": SIDE, "augment": "flip+scale"},
        "iou",
        "box",
    ),
    "multilabel": Case(
        "multilabel",
        write_labels,
        {**SHORT, "net": "resnet20_cifar", "width": 0.25, "size": SIDE, "augment": "translate"},
        "average_precision",
        "labels",
    ),
    "several labels a sound": Case(
        "multilabel",
        write_sound_labels,
        {**SHORT, "net": "resnet20_cifar", "width": 0.25},
        "average_precision",
        "labels",
        "*.wav",
    ),
    "segment": Case(
        "segment",
        write_masks,
        {**SHORT, "net": "unet_same", "width": 0.0625, "augment": "flip+rotate"},
        "miou",
        "classes",
    ),
    "detect": Case(
        "detect",
        write_boxes,
        {**SHORT, "net": "yolo_grid", "width": 0.0625, "size": 2 * SIDE, "augment": "flip+scale"},
        "map50",
        "boxes",
    ),
}


@pytest.fixture(params=sorted(CASES))
def case(request) -> Case:
    """Each task in turn."""
    return CASES[request.param]


@pytest.fixture
def folder(case, tmp_path) -> Path:
    """Data for it."""
    return case.write(tmp_path / "data")
