"""Runs of every task are audited on data as `evaluate` reads them."""

from typing import Any

import pytest

import striate
from striate.errors import DataError
from striate.runs import Run
from tasks.conftest import CASES

AUDITED = CASES


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


@pytest.mark.parametrize(
    ("other", "says"),
    [("segment", "holds mask targets"), ("series", "holds series, .* trained on pictures")],
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
