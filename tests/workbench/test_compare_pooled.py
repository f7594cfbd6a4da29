"""Seeds pooled, and the page with the curves."""

import json
from typing import Any

import numpy as np
import pytest

import striate
from striate import cli
from striate.errors import ArgumentError, DataError
from striate.metrics.compare import paired
from striate.runs.split_answers import read_rows
from striate.workbench.compare import compare, compare_pooled

QUICK: dict[str, Any] = {"epochs": 2, "plan": "default", "batch": 16, "val": 0.25}


@pytest.fixture(scope="module")
def runs(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("pool")
    return [
        striate.train(shapes, "linear", out=out, name=f"{lr}-{seed}", seed=seed, lr=lr, **QUICK)
        for lr in (1e-6, 0.01)
        for seed in (0, 1)
    ]


def accuracies(run) -> np.ndarray:
    return np.array([float(row["accuracy"]) for row in read_rows(run.path / "items.csv")])


def test_seeds_are_paired_with_their_own(runs):
    found = compare_pooled([runs[1], runs[0], runs[2], runs[3]])
    assert found.runs == ("lr=1e-06", "lr=0.01")
    assert found.pooled["lr=0.01"] == (str(runs[2].path), str(runs[3].path))
    a, b = (np.concatenate([accuracies(run) for run in pair]) for pair in (runs[:2], runs[2:]))
    gap = next(d for d in found.differences if d.score == "accuracy")
    wanted = paired(a, b)
    assert gap.difference.value == pytest.approx(wanted.value)
    assert gap.difference.low == pytest.approx(wanted.low)
    assert found.items == len(a)
    assert "of these nets, not of the setting" in found.note


def test_other_seeds_and_one_setting_are_refused(runs):
    with pytest.raises(DataError, match=r"has seeds 0, 1, lr=0\.01 has seed 0"):
        compare_pooled(runs[:3])
    with pytest.raises(ArgumentError, match="differ by their seed alone"):
        compare_pooled(runs[:2])


def test_a_page_with_curves(runs, tmp_path, capsys):
    page = tmp_path / "c.html"
    words = ["compare", "--pool", *(str(run.path) for run in runs), "--html", str(page)]
    assert cli.main([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["pooled"]) == ["lr=1e-06", "lr=0.01"]
    text = page.read_text(encoding="utf-8")
    assert "polyline" in text
    assert "lr=0.01" in text
    assert cli.main(["compare", str(runs[0].path), str(runs[2].path), "--html", "c.txt"]) == 2


def test_runs_alone_are_as_before(runs):
    found = compare([runs[0], runs[2]])
    wanted = paired(accuracies(runs[0]), accuracies(runs[2]))
    gap = next(d for d in found.differences if d.score == "accuracy")
    assert gap.difference.value == pytest.approx(wanted.value)
    assert found.note == ""
    assert found.pooled == {}
