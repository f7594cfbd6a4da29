"""Runs of every task are audited on data as `evaluate` reads them: each check answers, or says why it cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate.auditing.checks import CHECKS
from striate.errors import DataError
from striate.runs import Run
from tasks.conftest import CASES, SIDE

BUDGET = 0.5  # seconds, so that each check takes the fewest items it can


def of_several_sizes(name):
    """A task whose pictures, and masks where there are some, keep sizes of their own."""
    case = CASES[name]

    def write(root: Path) -> Path:
        for file in sorted(case.write(root).rglob("*.png")):
            rows, columns = SIDE - int(file.stem) % 5, SIDE - int(file.stem) % 3
            Image.fromarray(np.asarray(Image.open(file))[:rows, :columns]).save(file)
        return root

    settings = {key: value for key, value in case.settings.items() if key != "size"}
    net = "resnet20_cifar" if name == "classify" else settings["net"]
    return replace(case, write=write, settings={**settings, "net": net, "crop": 16})


AUDITED = {
    **CASES,
    **{
        f"{name} of several sizes": of_several_sizes(name)
        for name in ("classify", "regress", "segment")
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of a task, trained for an epoch when it is first asked for."""
    found: dict[str, Run] = {}

    def of(name: str) -> Run:
        if name not in found:
            root, case = tmp_path_factory.mktemp("run"), AUDITED[name]
            settings = dict(case.settings, epochs=1)
            found[name] = striate.train(case.write(root / "data"), out=root, name="run", **settings)
        return found[name]

    return of


@pytest.mark.parametrize("name", sorted(AUDITED))
def test_every_check_answers_or_says_why_not(name, runs, monkeypatch):
    for module in ("check", "checks.shortcuts"):
        monkeypatch.setattr(f"striate.auditing.{module}.FEWEST", 4)
    found = striate.audit(runs(name), split="train", budget=BUDGET).findings
    answered = {each.check for each in found if each.severity != "skipped"}
    assert {each.check for each in found} == set(CHECKS)
    assert all(each.text for each in found)
    assert "leaks" in answered
    assert ("loss_sense" in answered) is (name != "segment of several sizes")
    unsized = {each.check for each in found if "sizes of their own" in each.text}
    assert bool(unsized) is ("several sizes" in name)


@pytest.mark.parametrize(
    ("other", "says"),
    [("segment", "holds items with masks, "), ("series", "holds series, .* trained on pictures")],
)
def test_data_of_another_kind_are_refused(other, says, runs, tmp_path):
    with pytest.raises(DataError, match=says):
        striate.audit(runs("classify"), CASES[other].write(tmp_path / "data"), only=["loss_sense"])


def test_series_are_read_in_the_order_of_the_training(runs, tmp_path):
    """A table with its columns in another order holds the same: each net input must still be the same sensor."""
    run, root = runs("forecast"), CASES["forecast"].write(tmp_path / "data")
    asked: dict[str, Any] = {"only": ["loss_sense", "baselines"], "split": "all"}
    wanted = striate.audit(run, root, **asked).findings
    table = root / "speeds.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("\n".join(",".join([at, *reversed(row)]) for at, *row in rows) + "\n")
    found = striate.audit(run, root, **asked).findings
    assert any(each.severity != "skipped" for each in found)
    assert [each.text for each in found] == [each.text for each in wanted]


@pytest.mark.parametrize("name", ["detect", "multilabel", "segment"])
def test_labels_of_held_out_items_are_looked_at(name, runs, monkeypatch):
    for module in ("check", "checks.labels"):
        monkeypatch.setattr(
            f"striate.auditing.{module}.{'FEWEST' if module == 'check' else 'FOLDS'}", 2
        )
    (found,) = striate.audit(runs(name), only=["labels"]).findings
    assert found.severity in ("pass", "note")
    assert "may be wrong" in found.text
