"""validation_freq=: held-out items are answered after every so many epochs, and always after the last."""

from typing import Any

import pytest
import torch

import striate
from striate.runs import checkpoint

QUICK: dict[str, Any] = {"batch": 8, "plan": "default", "health": 0}


def trained(shapes, out, **settings):
    return striate.train(shapes, "lenet5", out=out, **{**QUICK, **settings})


@pytest.mark.parametrize(("every", "epochs", "rows"), [(2, 5, [2, 4, 5]), (3, 3, [3]), (9, 2, [2])])
def test_rows_are_of_so_many_epochs(shapes, tmp_path, every, epochs, rows):
    run = trained(shapes, tmp_path, epochs=epochs, validation_freq=every)
    assert [row["epoch"] for row in run.history()] == rows
    assert run.summary["epochs"] == epochs
    assert run.summary["kept"] in rows


def test_weights_and_the_mean_loss_are_those_of_every_epoch(shapes, tmp_path):
    each = trained(shapes, tmp_path / "each", epochs=4)
    seldom = trained(shapes, tmp_path / "seldom", epochs=4, validation_freq=2)
    losses = [row["train_loss"] for row in each.history()]
    pairs = [sum(losses[i : i + 2]) / 2 for i in (0, 2)]
    assert [row["train_loss"] for row in seldom.history()] == pytest.approx(pairs, rel=1e-4)
    last = [checkpoint.newest(run.path)[0] for run in (each, seldom)]
    assert last[0] is not None
    assert last[1] is not None
    assert last[0].step == last[1].step
    for name, value in last[0].tensors.items():
        assert torch.equal(value, last[1].tensors[name]), name


def test_patience_counts_epochs(shapes, tmp_path):
    settings = {"lr": 1e-12, "schedule": "constant", "epochs": 40, "patience": 4}
    run = trained(shapes, tmp_path, validation_freq=2, **settings)
    assert run.summary["epochs"] == 6
