"""What is written and carried over means what it says: rates, seconds, groups of layers, heads, best values."""

import math
import shutil

import pytest
import safetensors.torch
import torch
from torch import nn

import striate
from striate.errors import CheckpointError
from striate.training import Progress, optimizers, read_recipe
from striate.training.schedules import Course
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


@pytest.mark.parametrize("values", [[math.nan, 3.0, 2.0], [math.inf, math.nan, 1.0], [5.0, math.nan, 4.0]])  # fmt: skip
def test_what_waits_for_a_smaller_loss_survives_any_value(values):
    course, recipe = Course(), read_recipe("quick", {"patience": 5})
    for value in values:
        course.judge(value, recipe)
    assert course.lowest == values[-1]
    assert course.stale == 0


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
