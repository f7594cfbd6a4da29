"""Every net of the catalogue learns from files: two steps of a small form on generated data of its task, or its own `fit`."""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from striate import data
from striate.models.catalog import CATALOG, entry
from striate.models.row_types import Entry
from striate.training import fit, loop, read_recipe
from striate.workbench import unsupervised
from tasks.conftest import (
    write_boxes,
    write_classes,
    write_masks,
    write_series,
    write_volume_masks,
    write_volumes,
)


def write_sounds(root: Path) -> Path:
    """A folder a class, twelve files each: a tenth of a second of a low or a high tone."""
    rng = np.random.default_rng(1)
    for i in range(24):
        folder = root / ("low", "high")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        tone = np.sin(2 * np.pi * (300, 1500)[i % 2] * np.arange(2400) / 8000 + rng.random())
        with wave.open(str(folder / f"{i:02d}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes((12_000 * tone).astype("<i2").tobytes())
    return root


Writer = Callable[[Path], Path | str]
DATA: dict[tuple[str, str], Writer] = {
    ("classify", "picture"): write_classes,
    ("segment", "picture"): write_masks,
    ("reconstruct", "picture"): write_classes,
    ("detect", "picture"): write_boxes,
    ("classify", "series"): write_sounds,
    ("classify", "volume"): write_volumes,
    ("segment", "volume"): write_volume_masks,
    ("forecast", "graph"): write_series,
    ("unsupervised", "picture"): lambda _folder: "digits",  # lines of a pixel or two on 0
}
SHORT = {"epochs": 1, "plan": "default", "health": 0, "augment": "none", "optimizer": "adamw", "lr": 1e-3}  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> Callable[[Entry], data.Data]:
    """Data for a net, made once for all that learn the same from the same kind of input."""
    made: dict[tuple[str, str], data.Data] = {}

    def of(row: Entry) -> data.Data:
        key = (row.tasks[0], row.kind)
        if key not in made:
            folder = DATA[key](tmp_path_factory.mktemp("every") / "data")
            asked = (
                "reconstruct" if key[0] == "reconstruct" else None
            )  # no layout says so of itself
            made[key] = data.open(folder, val=None if folder == "digits" else 0.25, task=asked)
        return made[key]

    return of


def settings(row: Entry, items: int) -> dict[str, Any]:
    """The smallest form of a net, and a batch that makes two steps of so many items."""
    found: dict[str, Any] = {**SHORT, "net": row.name, "batch": -(-items // 2)}
    found["width"] = row.small.width if row.small.width < 1 else 0.25
    size = row.small.size or row.input[1:]
    if row.kind == "picture":
        found["size"] = size
    elif row.kind == "volume":
        found["grid"] = size
    elif row.kind == "series":
        found["representation"] = "frames"
    return found


HEADS = [
    ("fcn", "alexnet"),
    ("fcn", "googlenet"),
    ("yolo_grid", "alexnet"),
    ("yolo_grid", "googlenet"),
    ("yolo_grid", "squeezenet1_0"),
    ("yolo_grid", "resnet20_cifar"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "backbone"), HEADS)
def test_heads_learn_on_backbones_of_other_times(head, backbone, opened, tmp_path):
    row, below = entry(head), CATALOG[backbone].small
    given = opened(row)
    said = {**settings(row, len(given.splits["train"])), "width": below.width, "size": 96}
    recipe = read_recipe("quick", {**said, "backbone": backbone})
    done = fit(given, recipe, out=tmp_path, name="run")
    assert all(np.isfinite(value) for value in done.run.history()[0].values())


@pytest.mark.slow
@pytest.mark.catalogue
@pytest.mark.parametrize("name", CATALOG)
def test_a_net_learns_from_files(name, opened, tmp_path, monkeypatch):
    row = entry(name)
    given = opened(row)
    if row.tasks == ("unsupervised",):
        size = row.input[1] if row.small.size is None else row.small.size
        monkeypatch.setattr(unsupervised, "MOST", dict.fromkeys(unsupervised.MOST, 60))
        recipe = read_recipe("quick", {"net": name, "size": size, "epochs": 2, "width": 0.25})
        found = unsupervised.teach(given, recipe, out=tmp_path)
        assert [layer.learned > 1 for layer in found.layers] == [True] * len(found.layers), found
        return
    said: dict[str, Any] = settings(row, len(given.splits["train"]))
    steps: list[int] = []
    once = loop.take_step

    def counted(*given: Any, **more: Any) -> Any:
        steps.append(1)
        return once(*given, **more)

    monkeypatch.setattr(loop, "take_step", counted)
    done = fit(given, read_recipe("quick", said), out=tmp_path, name="run")
    (one,) = done.run.history()
    assert len(steps) == 2
    assert all(np.isfinite(value) for value in one.values())
    start = done.start
    assert start is not None
    after = load_file(done.run.path / "model.safetensors")
    moved = [k for k, tensor in start.named_parameters() if not torch.equal(tensor, after[k])]
    assert len(moved) >= 0.5 * len(list(start.parameters()))
    assert done.held.scores.scores
