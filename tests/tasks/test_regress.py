"""Numbers of pictures: scaled to be learned, in their own unit again when they are answered."""

import csv
import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.errors import RecipeError
from striate.tasks.regress import Regress


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Sixty flat pictures; their brightness in thousands, and minus its half; one lacks the second."""
    root = tmp_path_factory.mktemp("bright")
    rows = ["file,thousands,half"]
    for i in range(60):
        value = 4 * i
        Image.fromarray(np.full((12, 12), value, np.uint8)).save(root / f"{i:02d}.png")
        half = "" if i == 7 else str(-value / 2 - 0.25)
        rows.append(f"{i:02d}.png,{1000 * value + 0.5},{half}")
    (root / "values.csv").write_text("\n".join(rows) + "\n")
    return root


LAYOUT = "csv:label=thousands+half"


def test_several_numbers_come_back_in_their_own_unit(bright, tmp_path):
    data = striate.open(bright, layout=LAYOUT)
    assert (data.task, data.outputs, len(data)) == ("regress", ("thousands", "half"), 60)
    assert "of 60 rows 1 lack half" in data.note
    run = striate.train(
        data,
        net="linear",
        size=12,
        out=tmp_path,
        epochs=150,
        batch=8,
        lr=0.01,
        plan="default",
        augment="none",
    )
    task = striate.Run.load(run.path).task
    assert isinstance(task, Regress)
    assert task.std[0] / task.std[1] == pytest.approx(2000, rel=0.1)
    scores = run.evaluate()
    elsewhere = shutil.copytree(bright, tmp_path / "elsewhere")
    (elsewhere / "00.png").unlink()
    assert (
        run.evaluate(elsewhere, leaks="keep").items == 59
    )  # read as the data of the training were
    assert scores.scores["r2"].value > 0.98
    (found,) = run.predict(bright / "30.png")
    values = found.as_dict()["values"]
    assert values["thousands"] == pytest.approx(120_000, abs=12_000)
    assert values["half"] == pytest.approx(-60, abs=6)
    with (run.path / "items.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert list(row)[:5] == [
        "file",
        "truth thousands",
        "truth half",
        "answer thousands",
        "answer half",
    ]
    page = (run.path / "report.html").read_text()
    assert "Answering the mean of the training items every time" in page
    assert page.count("answers over truths") == 2
    assert 'class="dot"' in page


def test_a_number_that_is_lacking_pulls_nothing():
    task = Regress(("a", "b"), (10.0, -3.0), (2.0, 5.0), "l2")
    answer = torch.tensor([[0.0, 7.0]], requires_grad=True)
    loss, _ = task.criterion(answer, torch.tensor([[12.0, torch.nan]]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert answer.grad is not None
    assert answer.grad.tolist() == [[-1.0, 0.0]]
    assert task.decode(torch.tensor([[1.0, -1.0]]), [(1, 1)]).tolist() == [[12.0, -8.0]]


def test_losses_of_labels_are_refused(bright, tmp_path):
    with pytest.raises(RecipeError, match="items with numbers need l1, l2, huber"):
        striate.train(striate.open(bright, layout=LAYOUT), net="linear", out=tmp_path, loss="focal")


def test_several_numbers_lead_with_a_score_that_has_no_unit():
    task = Regress(("age", "grams"), (0.0, 0.0), (1.0, 1000.0))
    meter = task.meter()
    truths = np.array([[float(i), 1000.0 * (i % 5)] for i in range(20)])
    meter.add(
        truths + np.array([[0.5, 100.0]]) * np.where(np.arange(20)[:, None] % 2, 1, -1), truths
    )
    assert next(iter(meter.values())) == next(iter(meter.scores())) == "r2"
    assert meter.merit == meter.values()["r2"] == pytest.approx(0.99, abs=0.01)
    assert meter.notes()[-1].startswith(
        "mae and rmse are means over 2 numbers in whatever units they are"
    )
    held: Any = SimpleNamespace(meter=meter)
    led = task.headline(held, "20 held-out pictures")
    assert (led.score, led.words) == ("r2", "R² of 20 held-out pictures, mean over 2 numbers")
    assert "means over their units" in led.meaning[1]
    one = Regress(("age",), (0.0,), (1.0,)).meter()
    one.add(truths[:, :1] + 0.5, truths[:, :1])
    assert next(iter(one.values())) == "mae"
    assert one.merit == -0.5
    assert not any("units" in note for note in one.notes())
