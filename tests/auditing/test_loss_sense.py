"""What the best constant answer costs is known for plain losses; a net that learned nothing is told."""

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.auditing.checks.loss_sense import best_constant
from striate.tasks.classify import Classify

from .conftest import draw, write


def test_the_best_constant_of_cross_entropy_is_the_entropy_of_the_classes():
    labels = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    level, loss = best_constant(Classify(("a", "b", "c")), torch.randn(100, 3), labels)
    shares = np.array([0.7, 0.2, 0.1])
    assert loss == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-4)
    assert torch.allclose(level.softmax(1)[0], torch.tensor([0.7, 0.2, 0.1]), atol=1e-3)


def test_a_net_that_learned_nothing(clean, tmp_path):
    run = striate.train(clean, net="lenet5", epochs=1, lr=1e-9, out=tmp_path, plan="default")
    first, *_ = striate.audit(run, only=["loss_sense"]).findings
    assert first.severity == "note"
    assert first.evidence[0]["constant"] == pytest.approx(np.log(3), abs=0.02)
    assert "class_weights=balanced" in first.advice


def test_a_net_that_learned(own):
    found = striate.audit(own, only=["loss_sense"]).findings
    first = next(each for each in found if "constant" in each.evidence[0])
    assert first.severity == "pass"
    assert first.evidence[0]["share"] < 0.8
    assert "; that answer has accuracy 33.3 %" in first.text
    assert first.text.count("loss") == 1
    assert "constant_loss" not in first.evidence[0]
    classes = next(each for each in found if "class" in each.evidence[0])
    assert sum(row["loss"] for row in classes.evidence) == pytest.approx(1, abs=1e-3)


def test_of_large_outputs_fewer_items_are_looked_at(own, monkeypatch):
    monkeypatch.setattr("striate.auditing.checks.loss_sense.VALUES", 30)
    first, *_ = striate.audit(own, only=["loss_sense"]).findings
    assert "10 items)" in first.text


def test_the_empty_mask(tmp_path):
    """Of masks of which 2 in 100 pixels are an object the empty one costs little and has half the mean IoU of a perfect one."""
    rng = np.random.default_rng(0)
    for i in range(40):
        picture = draw(rng, "noise")
        mask = np.zeros((28, 28), np.uint8)
        top, left = rng.integers(2, 22, 2)
        mask[top : top + 4, left : left + 4] = 1
        picture[mask > 0] = 255
        write(tmp_path / "images" / f"{i}.png", picture)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask * 255).save(tmp_path / "masks" / f"{i}.png")
    run = striate.train(
        tmp_path, epochs=1, lr=1e-9, out=tmp_path / "runs", plan="default", val=0.5, width=0.25
    )
    first, *_ = striate.audit(run, only=["loss_sense"]).findings
    row = first.evidence[0]
    share = 16 / 784
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert row["constant"] <= entropy + 0.5
    assert any(key.startswith("constant_") for key in row)
