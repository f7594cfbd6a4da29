"""What the frame promises to any task: data, training, resume, processes, evaluation, prediction, report."""

import ast
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import striate
from striate import data
from striate.data.layouts import registry
from striate.errors import DataError, ShapeError, Stopped
from striate.runs import Run
from striate.tasks import TASKS, named
from striate.training import Progress, fit, read_recipe, resume

HERE = Path(__file__).parent
SOURCE = Path(striate.__file__).parent


@pytest.fixture(scope="module")
def toy() -> Any:
    sys.path.insert(0, str(HERE))
    try:
        import toy as found
    finally:
        sys.path.pop(0)
    return found


@pytest.fixture
def smooth(toy, monkeypatch, tmp_path):
    """The toy task and its layout are known, and its data lie in a folder."""
    monkeypatch.setitem(TASKS, "smooth", toy.Smooth)
    row = registry.Layout(toy.find, "a folder with series.toy")
    monkeypatch.setitem(registry.LAYOUTS, "series", row)
    return toy.write(tmp_path / "data")


def equal(one: Path, other: Path) -> bool:
    a, b = (load_file(path / "model.safetensors") for path in (one, other))
    return a.keys() == b.keys() and all((a[key] == b[key]).all() for key in a)


def test_an_array_to_an_array_goes_all_the_way(toy, smooth, tmp_path):
    opened = data.open(smooth)
    assert (opened.task, opened.kind, opened.classes) == ("smooth", "array", ())
    assert opened.as_dict()["items"] == 40
    assert "series" in opened.as_text()
    run = striate.train(opened, toy.net(), out=tmp_path, name="run", **toy.settings())
    assert run.path == tmp_path / "smooth" / "run"
    rows = run.history()
    assert rows[-1]["val_mae"] < rows[0]["val_mae"]
    assert "val_loss" in rows[0]
    config = json.loads((run.path / "config.json").read_text())
    assert (config["task"], config["task_settings"]) == ("smooth", {"kernel": 3})
    with (run.path / "items.csv").open(newline="") as file:
        items = list(csv.DictReader(file))
    assert len(items) == 8
    assert set(items[0]) == {"file", "mae"}
    again = Run.load(run.path, net=toy.net())
    scores = again.evaluate()
    assert scores.scores["mae"].value == pytest.approx(
        np.mean([float(i["mae"]) for i in items]), rel=1e-4
    )
    page = (run.path / "report.html").read_text()
    assert "Worst series" in page
    assert "mae" in page
    np.save(tmp_path / "one.npy", np.load(smooth / "series.toy")["x"][0])
    (found,) = again.predict(tmp_path / "one.npy")
    assert np.shape(found.as_dict()["series"]) == (2, 16)
    (wrong,) = again.predict(smooth / "series.toy")
    assert "one array" in str(wrong.error)


def test_it_goes_on_to_the_same_bits(toy, smooth, tmp_path):
    recipe = read_recipe("quick", toy.settings())
    opened = data.open(smooth)
    whole = fit(opened, recipe, net=toy.net(), out=tmp_path, name="whole").run

    def stop(_name: str, done: int, _total: int) -> None:
        if done == 6:  # of four steps an epoch
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        fit(opened, recipe, net=toy.net(), out=tmp_path, name="cut", progress=Progress(bar=stop))
    resume(tmp_path / "smooth" / "cut", net=toy.net())
    assert equal(whole.path, tmp_path / "smooth" / "cut")


def test_two_processes_score_the_same(toy, smooth, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    words = [str(HERE / "toy.py"), str(smooth), str(tmp_path)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = Run(tmp_path / "smooth" / "run", toy.net())
    alone = striate.train(smooth, toy.net(), out=tmp_path, name="alone", **toy.settings())
    assert run.config.versions["processes"] == "2"
    for row, other in zip(run.history(), alone.history(), strict=True):
        assert row["val_mae"] == pytest.approx(other["val_mae"], rel=1e-4)


def test_data_of_another_kind_are_refused(toy, smooth, tmp_path, shapes):
    short: dict[str, Any] = {**toy.settings(), "epochs": 1}
    run = striate.train(smooth, toy.net(), out=tmp_path, **short)
    with pytest.raises(DataError, match="trained to smooth, on items with arrays"):
        run.evaluate(shapes)


def test_nothing_outside_the_room_knows_a_task():
    """Imports, and words that would branch on one."""
    concrete = {named(name).__module__.rpartition(".")[2] for name in TASKS}
    names = set(TASKS)
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).parts
        if parts[0] == "tasks":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("striate.tasks"):
                imported = {
                    (node.module or "").rpartition(".")[2],
                    *(alias.name for alias in node.names),
                }
                assert not imported & concrete, f"{path}: imports {imported & concrete}"
            if isinstance(node, ast.Compare) and parts[0] not in ("models", "data"):
                words = {
                    n.value
                    for n in ast.walk(node)
                    if isinstance(n, ast.Constant) and isinstance(n.value, str)
                }
                assert not words & names, f"{path}:{node.lineno} branches on {words & names}"


@pytest.mark.parametrize("times", [2, 4, 8])
def test_maps_that_strides_made_smaller_are_refused_with_the_mend(times):
    task = named("segment").restored(("a", "b"), {})
    x = torch.zeros(1, 3, 64, 96)
    with pytest.raises(
        ShapeError, match=rf", {times} times smaller, as of strides; .*scale the logits up"
    ):
        task.check_answer(torch.zeros(1, 2, 64 // times, 96 // times), x)
    task.check_answer(torch.zeros(1, 2, 64, 96), x)
    task.check_answer(torch.zeros(1, 2, 40, 72), x)  # the middle, as unpadded convolutions leave it


def test_a_map_a_pixel_is_no_grid_of_cells():
    from striate.tasks.detect import Detect

    task = Detect(("a", "b"))
    channels = 5 * task.boxes + 2
    x = torch.zeros(1, 3, 64, 64)
    for side in (64, 60, 33):
        with pytest.raises(
            ShapeError,
            match="a value for each pixel as for masks, and the targets of these data are boxes",
        ):
            task.check_answer(torch.zeros(1, channels, side, side), x)
    task.check_answer(torch.zeros(1, channels, 8, 8), x)


@pytest.mark.parametrize(("side", "times"), [(30, 8), (100, 3), (400, 1)])
def test_an_overlay_of_boxes_is_large_enough_for_its_words(tmp_path, side, times):
    from striate.tasks.detect import Detect, Found

    found = Found(
        np.array([[2.0, 2, 20, 20]], np.float32), np.array([1]), np.array([0.9]), (side, side)
    )
    files = Detect(("a", "b")).files(
        "x", lambda: np.zeros((side, side, 3), np.uint8), found, tmp_path
    )
    drawn = np.asarray(Image.open(tmp_path / Path(files["overlay"]).name))
    assert drawn.shape == (side * times, side * times, 3)
    assert drawn[2 * times, 2 * times : 19 * times].any()
