"""Mistakes, confidences and curves of runs: numbers are those of the run's own files."""

import json

import numpy as np
import pytest
from PIL import Image

import striate
from striate import cli, see
from striate.errors import ArgumentError
from striate.runs.split_answers import read_rows
from striate.see.pictures.curves import Curves, Learned


def test_mistakes_are_the_rows_that_are_wrong(run):
    found = see.mistakes(run)
    rows = read_rows(run.path / "items.csv")
    wrong = sorted(
        (r for r in rows if float(r["accuracy"]) == 0), key=lambda r: -float(r["confidence"])
    )
    assert found.wrong == len(wrong)
    assert [m.name for m in found.worst] == [r["file"] for r in wrong][: len(found.worst)]
    assert f"{len(wrong)} mistake" in found.heading()


def test_pairs_are_counted(run, shapes, tmp_path):
    weak = striate.train(shapes, net="lenet5", epochs=1, lr=1e-9, out=tmp_path, plan="default")
    found = see.mistakes(weak)
    rows = read_rows(weak.path / "items.csv")
    for words, items in found.pairs:
        pair, _, share = words.partition(": ")
        truth, _, answer = pair.partition(" taken for ")
        count = sum(r["truth"] == truth and r["answer"] == answer for r in rows)
        assert share == f"{count} of {sum(r['truth'] == truth for r in rows)}"
        assert len(items) <= count


def test_reliability(run):
    found = see.calibration(run)
    rows = read_rows(run.path / "items.csv")
    sure = np.array([float(r["confidence"]) for r in rows])
    right = np.array([float(r["accuracy"]) for r in rows])
    assert sum(each.items for each in found.bins) == len(rows)
    gaps = sum(each.items * abs(each.confidence - each.right) for each in found.bins) / len(rows)
    assert gaps == pytest.approx(found.error[0], abs=1e-5)
    assert sum(e.items * e.right for e in found.bins) == pytest.approx(right.sum())
    assert sum(e.items * e.confidence for e in found.bins) == pytest.approx(sure.sum(), rel=1e-4)


def test_curves_of_seeds_are_one_line(shapes, tmp_path):
    runs = [
        striate.train(
            shapes, net="lenet5", epochs=2, batch=16, out=tmp_path, plan="default", lr=lr, seed=seed
        )
        for lr in (0.001, 0.01)
        for seed in (0, 1)
    ]
    found = see.curves(runs)
    assert [s.name for s in found.settings] == ["lr=0.001", "lr=0.01"]
    assert [len(s.runs) for s in found.settings] == [2, 2]
    for k, each in enumerate(found.settings):
        values = [[row["val_accuracy"] for row in run.history()] for run in runs[2 * k : 2 * k + 2]]
        assert len(each.spread) == 2
        for epoch, mean, low, high in each.spread:
            both = [v[epoch] for v in values]
            assert (mean, low, high) == (pytest.approx(np.mean(both)), min(both), max(both))
    assert found.as_svg().count("<polygon") == 2
    assert see.curves(runs, score="loss").score == "val_loss"
    with pytest.raises(ArgumentError, match="no f2 by epoch"):
        see.curves(runs, score="f2")
    with pytest.raises(ArgumentError, match="at least one run"):
        see.curves([])


NONE = None


@pytest.mark.parametrize(
    ("values", "known", "lines", "last"),
    [
        ([[NONE, 0.5, 0.6, 0.7]], [1, 2, 3], 1, "70.0"),
        ([[0.5, 0.6, NONE, 0.7, 0.8]], [0, 1, 3, 4], 2, "80.0"),
        ([[0.5, 0.6, float("nan")]], [0, 1], 1, "60.0"),
        ([[0.5, NONE, 0.7], [0.6, 0.6, 0.6, 0.6]], [0, 2], 0, "65.0"),
        ([[NONE, NONE]], [], 0, "-"),
    ],
)
def test_an_epoch_without_a_value_is_a_gap(values, known, lines, last):
    """It neither ends the line nor the drawing."""
    whole = Learned("whole", ("b",), ((0.1, 0.2),))
    runs = tuple(str(i) for i in range(len(values)))
    some = Learned("some", runs, tuple(map(tuple, values)))
    found = Curves("val_accuracy", (some, whole))
    assert [each[0] for each in some.spread] == known
    drawn = found.as_svg()
    assert drawn.count("<polyline") == lines + 1
    assert "nan" not in drawn
    row = next(line for line in found.as_text().splitlines() if line.startswith("some"))
    assert last in row


@pytest.mark.parametrize("what", ["mistakes", "calibration", "curves"])
def test_commands(run, what, tmp_path, capsys):
    page = tmp_path / "a.html"
    assert cli.main(["see", what, str(run.path), "--out", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["what"] == what
    assert page.stat().st_size > 500


def test_of_another_task(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["file,value"]
    for i in range(60):
        Image.fromarray(rng.integers(0, 255, (28, 28), np.uint8)).save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{rng.random():.3f}")
    (tmp_path / "values.csv").write_text("\n".join(rows))
    run = striate.train(tmp_path, net="lenet5", epochs=1, out=tmp_path / "runs", plan="default")
    found = see.mistakes(run, limit=4)
    assert found.wrong is None
    assert len(found.worst) == 4
    with pytest.raises(ArgumentError, match="no probabilities"):
        see.calibration(run)
