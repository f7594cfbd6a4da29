"""What is written and carried over means what it says: rates, seconds, groups of layers, heads, best values."""

import json
import math
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

import striate
from striate.errors import CheckpointError, NumericError
from striate.runs import checkpoint
from striate.runs.checkpoint import Checkpoint
from striate.training import Progress, lr_finder, optimizers, read_recipe, resume_check
from striate.training.epoch_table import EpochTable
from striate.training.schedules import Course
from striate.workbench import folds
from striate.workbench.train import train_recipe

QUICK = {"net": "lenet5", "epochs": 2, "batch": 8, "plan": "default"}


def trained(data, out, **settings):
    said = []
    recipe = read_recipe("quick", {**QUICK, **settings})
    done = train_recipe(data, recipe, out=out, progress=Progress(say=said.append))
    return done.run, said


def test_rates_by_depth_match_whole_components():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.Sequential(*(nn.Linear(2, 2) for _ in range(11)))

    net = Net()
    recipe = read_recipe("quick", {"lr_decay": 0.5, "lr": 1.0, "optimizer": "sgd"})
    opt = optimizers.optimizer(net, recipe)
    optimizers.set_rate(opt, 1.0)
    rates = {id(p): g["lr"] for g in opt.param_groups for p in g["params"]}
    found = [rates[id(layer.weight)] for layer in net.parts]
    assert found == [
        0.5**k for k in range(10, -1, -1)
    ]  # parts.1 is a block beside parts.10, the head
    assert optimizers.recipe_rate(opt) == 1.0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("lr_decay", [1.0, 0.7])
def test_results_have_the_recipes_rate_and_the_seconds_of_each_epoch(
    shapes, tmp_path, optimizer, lr_decay
):
    settings = {"optimizer": optimizer, "lr_decay": lr_decay, "schedule": "constant", "lr": 0.01}
    run, _ = trained(shapes, tmp_path, epochs=3, **settings)
    rows = run.history()
    assert [row["lr"] for row in rows] == [0.01] * 3
    assert sum(row["seconds"] for row in rows) <= run.summary["seconds"]
    assert rows[2]["seconds"] < sum(row["seconds"] for row in rows[:2]) * 5


@pytest.mark.parametrize("values", [[math.nan, 3.0, 2.0], [math.inf, math.nan, 1.0], [5.0, math.nan, 4.0], [None, 4.0], [math.inf, None, 3.0]])  # fmt: skip
def test_what_waits_for_a_smaller_loss_survives_any_value(values):
    course, recipe = Course(), read_recipe("quick", {"patience": 5})
    for value in values:
        course.judge(value, recipe)
    assert course.lowest == values[-1]
    assert course.stale == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("key", ["val_loss", "val_accuracy", "train_loss"])
def test_the_line_of_an_epoch_survives_any_value(key, value):
    row = {"epoch": 1, "val_loss": 0.5, "val_accuracy": 0.25, "train_loss": 0.75}
    row = {k: v for k, v in {**row, key: value}.items() if v is not None}
    over, under, said = EpochTable("pictures", "val").lines(row, 3.0)
    assert len({len(over), len(under), len(said)}) == 1
    assert ("0.5000" in said) == (key != "val_loss")
    assert ("0.7500" in said) == (key != "train_loss")
    assert ("25.0\xa0%" in said) == (key != "val_accuracy")


@pytest.mark.parametrize(
    "values", [(0.5, math.nan), (math.inf, 1.0), (math.inf, -math.inf), (0.5,)]
)
def test_scores_of_folds_survive_any_value(values):
    found = folds.Folds(("a", "b"), {"psnr": values})
    assert found.as_dict()["scores"]["psnr"]["std"] is None
    json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert "psnr" in found.as_text()


@pytest.mark.parametrize("merits", [(0.9, 0.5), (0.9, None), (math.nan, 0.5), (math.inf, 0.5)])
def test_merits_of_another_version_are_not_compared(tmp_path, monkeypatch, merits):
    def write(step, merit):
        checkpoint.save(tmp_path, Checkpoint(step, {"w": torch.zeros(1)}, {}, merit))

    monkeypatch.setattr(checkpoint, "version", lambda _name: "0.0.1")
    write(1, merits[0])
    assert checkpoint.load(tmp_path / "checkpoints" / "step-00000001").code == "0.0.1"
    monkeypatch.undo()
    write(2, merits[1])
    best, _ = checkpoint.best(tmp_path)
    assert (best and best.step) == (None if merits[1] is None else 2)
    for step in (3, 4, 5):
        write(step, 0.1)
    steps = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    kept = [4, 5] if merits[1] is None else [2, 4, 5]
    assert steps[-len(kept) :] == [f"step-{step:08d}" for step in kept]
    assert "step-00000001" not in steps


def test_what_another_version_measured_is_forgotten_and_said():
    course = {"lowest": 0.1, "stale": 4, "waited": 2, "lowered": 1}
    said = []
    was = Checkpoint(3, {}, {"course": course, "parts": 1}, code="0.0.1")
    now = resume_check.of_this_code(was, said.append)
    assert now is not None
    assert now.state == {
        "course": {"lowest": None, "stale": 0, "waited": 0, "lowered": 1}, "parts": 1,
    }  # fmt: skip
    assert len(said) == 1
    assert said[0].startswith(
        "0.0.1 of striate measured the epochs so far: the best epoch is chosen"
    )
    same = Checkpoint(3, {}, {"course": course})
    assert resume_check.of_this_code(same, said.append) is same
    assert len(said) == 1


def renamed(shapes, root, names):
    for was, now in zip(("bar", "box", "noise"), names, strict=True):
        shutil.copytree(shapes / was, root / now)
    return root


def test_a_head_is_taken_over_by_the_names_of_its_classes(shapes, tmp_path):
    run, _ = trained(shapes, tmp_path / "first")
    was = run.net.state_dict()
    head = run.net.head
    frozen = {"weights": str(run.path), "lr": 1e-12, "epochs": 1, "weight_decay": 0}

    swapped = renamed(shapes, tmp_path / "swapped", ("z_bar", "box", "noise"))
    other, said = trained(swapped, tmp_path / "other", **frozen)
    assert any("has outputs for other classes than the file's: it starts anew" in s for s in said)
    assert not torch.allclose(
        other.net.state_dict()[f"{head}.weight"], was[f"{head}.weight"], atol=1e-3
    )

    same, said = trained(shapes, tmp_path / "same", **frozen)
    assert torch.allclose(same.net.state_dict()[f"{head}.weight"], was[f"{head}.weight"], atol=1e-5)
    assert not any("order" in s for s in said)


def test_classes_in_another_order_change_places():
    from striate.training.prepare import _reordered

    net = striate.build("lenet5", num_classes=3)
    head = f"{net.head}.weight"
    weight = net.get_parameter(head).detach().clone()
    _reordered(net, torch.tensor([2, 0, 1]))
    assert torch.equal(net.get_parameter(head), weight[[2, 0, 1]])


def numbers(root, scale, offset, names=("size",), seed=0):
    """Squares whose side, scaled, is the number."""
    rng = np.random.default_rng(seed)
    root.mkdir()
    rows = [",".join(["file", *names])]
    for i in range(40):
        side = int(rng.integers(2, 12))
        pixels = np.zeros((16, 16), np.uint8)
        pixels[:side, :side] = 255
        pixels[15] = rng.integers(0, 256, 16)  # no two are copies
        Image.fromarray(pixels).save(root / f"{i}.png")
        rows.append(",".join([f"{i}.png", *(f"{scale * side + offset + 0.5}" for _ in names)]))
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def test_a_head_of_numbers_answers_the_same_numbers_after_a_change_of_their_scale(tmp_path):
    still = {"lr": 1e-12, "epochs": 1, "weight_decay": 0, "task": "regress"}
    data = numbers(tmp_path / "a", 1.0, 0.0)
    first, _ = trained(data, tmp_path / "first", epochs=4, task="regress")
    other, said = trained(
        numbers(tmp_path / "b", 10.0, 300.0), tmp_path / "second", weights=str(first.path), **still
    )
    assert any("scaled to the mean and deviation of these numbers" in line for line in said)
    picture = str(tmp_path / "a" / "3.png")
    was, now = (next(iter(run.predict([picture]))).as_dict()["value"] for run in (first, other))
    assert now == pytest.approx(was, rel=1e-3)


def test_a_head_of_other_numbers_starts_anew(tmp_path):
    data = numbers(tmp_path / "a", 1.0, 0.0)
    first, _ = trained(data, tmp_path / "first", epochs=1, task="regress")
    data = numbers(tmp_path / "b", 1.0, 0.0, names=("weight",))
    _, said = trained(data, tmp_path / "second", weights=str(first.path), epochs=1, task="regress")
    assert any("has outputs for other classes than the file's: it starts anew" in s for s in said)


def test_a_rate_finder_whose_first_loss_is_no_number_says_so(shapes):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16 * 16, 3)

        def forward(self, x):
            return self.layer(x.mean(1).flatten(1)) * float("nan")

    recipe = read_recipe("quick", {"size": 16, "epochs": 1})
    with pytest.raises(
        NumericError, match="the loss of the first step is no number, at a learning rate of 1e-06"
    ):
        lr_finder.find_rate(striate.open(shapes), recipe, net=Broken())


def test_weights_of_a_damaged_run_are_not_begun_with(shapes, tmp_path):
    run, _ = trained(shapes, tmp_path / "first", epochs=1)
    path = run.path / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    name = max(tensors)
    tensors[name] = tensors[name] + 1
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(CheckpointError, match="SHA-256 is not the one in config"):
        trained(shapes, tmp_path / "other", weights=str(run.path))


def test_balanced_twice_is_said(shapes, tmp_path):
    _, said = trained(shapes, tmp_path, epochs=1, class_weights="balanced", sampling="balanced")
    assert any("both make up for rare classes" in line for line in said)
    _, said = trained(shapes, tmp_path, epochs=1, class_weights="balanced")
    assert not any("both make up" in line for line in said)


@pytest.mark.parametrize("kind", ["int32", "bool", "complex64", "float8_e5m2", "uint8"])
def test_weights_of_other_kinds_of_numbers_are_refused_by_name(tmp_path, kind):
    net = striate.build("lenet5")
    tensors = {name: t.clone() for name, t in net.state_dict().items()}
    name = next(n for n, t in tensors.items() if t.is_floating_point())
    tensors[name] = torch.ones(tensors[name].shape).to(getattr(torch, kind))
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    from striate import weights

    with pytest.raises(CheckpointError, match=f"{name} holds {kind} numbers, expected float32"):
        weights.load(net, tmp_path / "w.safetensors")
