"""The page of an audit: every finding, its numbers, and hostile names as text."""

import html
import re

import pytest

import striate
from striate import cli
from striate.auditing import Audit, Finding
from striate.metrics import Interval
from striate.workbench.report.audit import page


def words(text):
    """With plain spaces only."""
    return " ".join(text.split())


def written(page):
    """The text of a page without its marks."""
    return words(html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_every_finding_stands_there(own, tmp_path, capsys):
    path = tmp_path / "audit.html"
    assert cli.main(["audit", str(own.path), "--html", str(path)]) == 0
    text = path.read_text()
    found = striate.audit(own)
    assert len(found.findings) > 10
    said = written(text)
    assert [each.text for each in found.findings if words(each.text) not in said] == []
    assert "<script" not in text
    assert "open file://" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a\u202egnp.exe", "x" * 3000, "a\nb"]
)
def test_hostile_names(name):
    finding = Finding(
        "leaks",
        f"one of {name}",
        Interval(0.1, 0.05, 0.2),
        limit=0.0,
        crossed=True,
        evidence=[{"file": name, "split": "test", "other": name}],
        advice="look",
        unit="share",
    ).judged(gate=True)
    text = page(Audit("runs/a", name, "test", 3, (finding,)))
    assert "<script>alert" not in text
    assert "failed" in text


def test_no_finding_is_a_page_all_the_same():
    assert "0 findings" in page(Audit("", "d", "all", 0, ()))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Interval(1.0), "100.0 %, no interval, held against 50.0 %."),
        (Interval(0.9, 0.8, 0.95), "90.0 %, 95 % interval 80.0 % to 95.0 %, held against 50.0 %."),
    ],
)
def test_a_value_without_an_interval(value, said):
    found = Finding("baselines", "so it is", value, limit=0.5, unit="accuracy")
    assert said in written(page(Audit("runs/a", "d", "test", 3, (found,))))


def test_rows_of_several_labels():
    rows = [{"file": "a.png", "label": "|", "rather": "cat|dog", "where": ""}]
    found = Finding("labels", "so it is", Interval(0.1, 0.05, 0.2), evidence=rows, unit="share")
    said = written(page(Audit("runs/a", "d", "test", 3, (found,))))
    assert " file label rather a.png no label cat|dog " in said  # no empty column
