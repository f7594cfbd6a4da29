"""budget= is the time of the whole command, from its start to its report."""

import time

import pytest

from striate.errors import RecipeError
from striate.training import Progress, budget, callbacks, linear_probe, read_recipe
from striate.training.state import Totals
from striate.workbench import progress
from striate.workbench.train import train_recipe

QUICK = {"net": "lenet5", "batch": 8, "plan": "default"}


@pytest.fixture
def quick_report(monkeypatch):
    monkeypatch.setattr(budget, "REPORT", 0.3)


def trained(shapes, out, *, began=None, **settings):
    said = []
    ahead = Progress(said.append, began=time.monotonic() if began is None else began)
    recipe = read_recipe("quick", {**QUICK, **settings})
    return train_recipe(shapes, recipe, out=out, progress=ahead), said


def test_it_ends_in_time_with_the_rate_brought_down(shapes, tmp_path, quick_report):
    done, said = trained(shapes, tmp_path, budget="4s")
    rows = done.run.history()
    assert 0.3 < sum(row["seconds"] for row in rows) < 4  # of a million epochs
    assert rows[-1]["lr"] < 0.5 * max(row["lr"] for row in rows)
    assert any(line.startswith("epoch 1 ") for line in said)
    assert any("4 s in all, as asked for: about " in line for line in said)


def test_what_was_spent_before_the_first_step_counts(shapes, tmp_path, quick_report):
    late, _ = trained(shapes, tmp_path, budget="64s", began=time.monotonic() - 60)
    assert sum(row["seconds"] for row in late.run.history()) < 4


def test_a_linear_probe_counts_once(shapes, tmp_path, quick_report, monkeypatch):
    first, _ = trained(shapes, tmp_path, epochs=1)
    known = []

    class Noted(budget.Budget):
        def __init__(self, job, record):
            super().__init__(job, record)
            known.append((self.before, record.spent(), time.monotonic() - job.progress.began))

    monkeypatch.setattr(callbacks, "Budget", Noted)
    monkeypatch.setattr(
        linear_probe, "fit_head", lambda _net, _job: Totals(seconds=15.0, counts={"accuracy": 1.0})
    )
    began = time.monotonic() - 20
    settings = {"net": None, "weights": str(first.run.path), "linear_probe": "first"}
    trained(shapes, tmp_path, budget="30s", epochs=1, began=began, **settings)
    ((before, spent, gone),) = known
    assert spent >= 15
    assert before + spent == pytest.approx(gone, abs=0.5)


def test_the_epochs_that_it_cuts_are_said(shapes, tmp_path, quick_report):
    _, said = trained(shapes, tmp_path, budget="4s", epochs=100_000)
    (line,) = (line for line in said if line.startswith("ended: "))
    assert line.startswith("ended: the time of budget= is over after ")
    assert line.endswith(" of 100000 epochs")


def test_too_little_is_refused_before_anything_is_read(shapes, tmp_path):
    with pytest.raises(
        RecipeError, match=r"^budget=2s: the start and the report alone take longer"
    ):
        trained(shapes, tmp_path, budget="2s")
    assert not list(tmp_path.iterdir())


def test_too_little_for_these_data_leaves_no_run(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "LEAST", 99.0)
    with pytest.raises(RecipeError, match=r"take about \d+ s here; the least is budget=\d+s$"):
        trained(shapes, tmp_path, budget="20s")
    assert not list(tmp_path.glob("*/*"))


def test_a_process_knows_when_it_began():
    began = progress.process_began()
    assert began <= time.monotonic()
    time.sleep(0.05)
    assert progress.process_began() == pytest.approx(began, abs=0.04)
