"""A linear probe: the one best last layer, and a run like any other around it."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from striate.runs import Run
from striate.tasks.classify import Classify
from striate.tasks.segment import Segment
from striate.training import Progress, linear_probe, read_recipe
from striate.training.linear_probe import Features, fitted
from striate.workbench.train import train_recipe


class Brought(nn.Module):
    """A net that brings its weights: seven classes of its own, features that are good for any."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(3)
            self.body = nn.Sequential(
                nn.Conv2d(1, 8, 5, stride=2, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(4),
                nn.Flatten(),
            )
            self.fc = nn.Linear(128, 7)
        self.pretrained_cfg = {"mean": (0.1,), "std": (0.2,)}

    def forward(self, x):
        return self.fc(self.body(x))


def features(seed=0, items=90, width=6, classes=3):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, items)
    x = rng.normal(size=(items, width)) * 5 + 20
    x[np.arange(items), y] += 6
    return Features(torch.tensor(x, dtype=torch.float32), torch.tensor(y), torch.arange(items))


def test_the_views_of_an_item_stay_together():
    twice = features(items=50)
    both = twice.of(torch.arange(50).repeat(2))
    fit, held = linear_probe._divided(both, 0)
    assert (len(fit.x), len(held.x)) == (80, 20)
    assert not set(fit.item.tolist()) & set(held.item.tolist())


def trained(data, out, **settings):
    said: list[str] = []
    recipe = read_recipe("quick", {"plan": "default", "health": 0, "batch": 16, **settings})
    fit = train_recipe(data, recipe, own=Brought(), out=out, progress=Progress(say=said.append))
    return fit.run, said


@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_it_is_the_logistic_regression_of_the_penalty(strength):
    train = features()
    fit = fitted(train, features(1), F.cross_entropy, 3, bias=True, strengths=(strength,))
    x = train.x.numpy()
    centred = (x - x.mean(0)) / np.sqrt(np.square(x - x.mean(0)).mean())
    other = LogisticRegression(C=1 / (strength * len(x)), tol=1e-8, max_iter=5000)
    other.fit(centred, train.target.numpy())
    theirs = other.predict_proba(centred)
    ours = (train.x @ fit.weight.T + fit.bias).softmax(1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_numbers_are_fitted_by_ridge_regression():
    x = features().x
    target = x[:, :2] * 0.1 + torch.randn(len(x), 2, generator=torch.Generator().manual_seed(1))
    train = Features(x, target, torch.arange(len(x)))
    fit = fitted(train, train, lambda a, b: F.mse_loss(a, b) / 2, 2, bias=True, strengths=(0.3,))
    mean, middle = x.mean(0), target.mean(0)
    scale = (x - mean).square().mean().sqrt()
    z = ((x - mean) / scale).double()
    # the mean is over items and outputs, so the penalty of each output counts twice
    gram = z.T @ z / len(z) + 2 * 0.3 * torch.eye(z.shape[1])
    best = torch.linalg.solve(gram, z.T @ (target - middle).double() / len(z))
    torch.testing.assert_close(fit.weight * scale, best.T.float(), atol=2e-3, rtol=2e-2)


def test_the_strength_is_the_one_that_held_out_items_cost_least_with():
    train, held = features(0, items=12), features(1, items=400)
    fit = fitted(train, held, F.cross_entropy, 3, bias=True)
    losses = [
        fitted(train, held, F.cross_entropy, 3, bias=True, strengths=(strength,)).loss
        for strength in linear_probe.STRENGTHS
    ]
    assert fit.loss == pytest.approx(min(losses), rel=0.01)
    assert 0 < np.argmin(losses) < len(losses) - 1  # neither end of them


def test_without_a_bias_nothing_is_centred():
    fit = fitted(features(), features(1), F.cross_entropy, 3, bias=False)
    assert not fit.bias.any()


class Behind(Brought):
    def forward(self, x):
        return super().forward(x).relu()


def conv_head():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


@pytest.mark.parametrize(
    ("net", "task", "words"),
    [
        (Behind(), Classify, "no linear probe: something follows the last layer fc; "),
        (conv_head(), Classify, "no linear probe: the last layer 0 is Conv2d, which is not linear"),
        (Brought(), Segment, "no linear probe: what is learned is to segment"),
    ],
)
def test_where_there_can_be_none_the_head_learns_alone_first(net, task, words):
    recipe = read_recipe("finetune", {"weights": "own"})
    before = {name: t.clone() for name, t in net.state_dict().items()}
    left, said = linear_probe.settled(net, recipe, task, (1, 28, 28))
    assert said.startswith(words)
    assert (left.linear_probe, left.head_epochs) == ("none", 1)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert net.training


def test_where_it_can_be_the_recipe_stays():
    recipe = read_recipe("finetune", {"weights": "own"})
    assert linear_probe.settled(Brought(), recipe, Classify, (1, 28, 28)) == (recipe, "")


@pytest.mark.slow
def test_alone_it_changes_the_last_layer_and_leaves_an_ordinary_run(shapes, tmp_path):
    run, said = trained(shapes, tmp_path, weights="own", linear_probe="only", augment="flip")
    assert "the last layer of brought gets 3 outputs, one a class: it starts anew" in said
    (line,) = (line for line in said if line.startswith("linear probe: "))
    assert line.startswith(
        "linear probe: fc fitted to 128 features of 144 views"
    )  # of 72, mirrored
    for name, tensor in Brought().state_dict().items():
        assert torch.equal(run.net.state_dict()[name], tensor) == (not name.startswith("fc.")), name
    with (run.path / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["epoch"], float(row["train_accuracy"]) > 0.9) == ("0", True)
    summary = json.loads((run.path / "summary.json").read_text())
    assert (summary["epochs"], summary["kept"]) == (0, 0)
    assert run.as_text().startswith("brought, 0 epochs in ")
    assert "linear probe kept" in run.as_text()
    assert (run.path / "report.html").exists()
    again = Run.load(run.path, net=Brought())
    assert again.evaluate().scores["accuracy"].value == float(row["val_accuracy"]) > 0.8
    assert again.predict([next(shapes.glob("bar/*.png"))])[0].answer is not None


@pytest.mark.slow
def test_fine_tuning_goes_on_from_where_the_probe_is(shapes, tmp_path):
    run, _ = trained(shapes, tmp_path, weights="own", epochs=2, lr=1e-5, augment="none")
    probe, first, _ = run.history()
    assert (
        abs(first["train_loss"] - probe["train_loss"]) < 0.05
    )  # statistics of batches would undo it
    for name, tensor in Brought().state_dict().items():
        if name.startswith("body.1."):  # batch normalisation
            assert torch.equal(run.net.state_dict()[name], tensor), name


@pytest.mark.slow
def test_fine_tuning_that_only_harms_leaves_the_probe(shapes, tmp_path):
    run, said = trained(shapes, tmp_path, weights="own", epochs=2, lr=3.0, lr_decay=1.0)
    kept = "the linear probe is kept: no epoch after it answered val items better"
    assert kept in said
    assert (run.summary["epochs"], run.summary["kept"]) == (2, 0)
    assert [row["epoch"] for row in run.history()] == [0, 1, 2]


@pytest.mark.slow
def test_a_test_split_chooses_no_strength(shapes, tmp_path):
    root = tmp_path / "data"
    for split, some in (("train", slice(0, 24)), ("test", slice(24, 30))):
        for folder in shapes.iterdir():
            for file in sorted(folder.glob("*.png"))[some]:
                (root / split / folder.name).mkdir(parents=True, exist_ok=True)
                (root / split / folder.name / file.name).write_bytes(file.read_bytes())
    _, said = trained(root, tmp_path, weights="own", linear_probe="only", val=None)
    assert any(line.endswith("by a fifth of them") for line in said)
