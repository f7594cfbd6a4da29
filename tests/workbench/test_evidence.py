"""What a report's verdict is made from, on trainings; and what its sections ask of a run."""

import html
import re
from typing import Any

import numpy as np
import pytest

from report_pages import answered, full, per_class, scored
from striate import train
from striate.runs import Run
from striate.text import percent
from striate.workbench.report.page import render

QUICK: dict[str, Any] = {"net": "lenet5", "epochs": 2, "batch": 8, "plan": "default"}


def trained(data: Any, out: Any, **settings: Any) -> Run:
    return train(data, out=out, **(QUICK | settings))


@pytest.fixture(scope="module")
def first(shapes, tmp_path_factory) -> Run:
    return trained(shapes, tmp_path_factory.mktemp("runs"), name="first")


def said(run: Run) -> str:
    """The verdict of a run's report as a reader sees it."""
    page = (run.path / "report.html").read_text()
    box = page.split('<div class="verdict')[1].split("</div>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", "<" + box)))


def test_a_run_on_few_items_is_not_proud(first):
    accuracy = first.summary["scores"]["accuracy"]
    assert (
        f"Only 18 held-out pictures judge it, fewer than 50: the accuracy may lie from {percent(accuracy['low'])}".replace(
            "\xa0", " "
        )
        in said(first)
    )
    page = (first.path / "report.html").read_text()
    assert '<p class="result weak"><b>' in page
    assert "val=0.4" in said(first)


@pytest.mark.slow
def test_a_fine_tuned_run_says_what_its_weights_were_worth_on_the_same_items(
    first, shapes, tmp_path
):
    second = trained(shapes, tmp_path, epochs=1, weights=str(first.path))
    before = first.summary["scores"]["accuracy"]["value"]
    after = second.summary["scores"]["accuracy"]["value"]
    words = f"{percent(before)} before (with the weights it began with), {percent(after)} after, both on the same 18"
    assert words.replace("\xa0", " ") in said(second)


@pytest.mark.slow
def test_weights_of_other_classes_have_no_score_before(first, shapes, tmp_path):
    (tmp_path / "two").mkdir()
    for label in ("bar", "box"):
        (tmp_path / "two" / label).symlink_to(shapes / label)
    second = trained(tmp_path / "two", tmp_path, epochs=1, weights=str(first.path))
    assert "how these weights answer alone is not known" in said(second)


def test_items_that_are_shown_have_the_answers_that_were_counted(first):
    data = first.open_data()
    held = first.held(data, "val")
    numbers = [7, 0, 17, 3]
    found = held.items(numbers)
    probs = held.meter.state()["probs"]
    assert [item.name for item in found] == [held.names[i] for i in numbers]
    for i, item in zip(numbers, found, strict=True):
        np.testing.assert_allclose(item.answer, probs[i], rtol=1e-4, atol=1e-6)
        assert item.scores is held.rows[i]
    assert held.items([]) == []


def test_a_report_shows_its_items_also_where_none_is_wrong():
    perfect = np.eye(3, dtype=int) * 10
    shown = answered(
        scored(3, {"accuracy": {"value": 1.0, "low": 0.9, "high": 1.0}}, confusion=perfect)
    )
    page = render(full(3, **shown, test_sections=()))
    body = page.split("<h2>No mistakes, and the least sure answers</h2>")[1].split("</section>")[0]
    assert "None of the 30 held-out pictures was answered wrongly." in body
    assert body.count("<img") == 8 + 3 * 6  # the least sure, and a row a class


@pytest.mark.slow
def test_a_thousand_classes_give_a_file_of_less_than_a_megabyte():
    k, rng = 1000, np.random.default_rng(0)
    counts = np.zeros((k, k), int)
    np.add.at(counts, (rng.integers(0, k, 5000), rng.integers(0, k, 5000)), 1)
    counts[np.arange(k), np.arange(k)] += 5
    rows = [row | {"label": f"n{i:08d} some kind of animal"} for i, row in enumerate(per_class(k))]
    shown = answered(scored(k, rows=rows, confusion=counts))
    page = render(full(k, **shown, test_sections=shown["sections"]))
    assert len(page) < 1_000_000
    assert "The worst 150 of 1,000 classes; summary.json has all." in page
