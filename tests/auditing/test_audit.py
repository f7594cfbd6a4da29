"""The audit as a whole: which checks are asked, what is kept, what it says and how it ends."""

import json

import numpy as np
import pytest

import striate
from striate import cli
from striate.auditing import CHECKS, Finding
from striate.auditing.run_checks import Audit
from striate.errors import ArgumentError
from striate.runs import Run

from .conftest import draw, write

KEYS = {"check", "severity", "value", "low", "high", "limit", "evidence", "advice"}


def test_json_and_text(own, capsys):
    code = cli.main(["audit", str(own.path), "--json"])
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert code == 0
    assert set(document) >= {"run", "data", "findings", "verdict"}
    assert all(set(row) >= KEYS for row in document["findings"])
    assert {row["check"] for row in document["findings"]} == set(CHECKS)
    assert document["verdict"].startswith("passed")
    assert all(f"{name}: about " in said.err for name in ("leaks", "baselines"))
    cli.main(["audit", str(own.path)])
    again = capsys.readouterr()
    assert "leaks: kept from an earlier audit" in again.err
    assert document["verdict"] in again.out


def test_what_is_kept_is_of_the_same_data_alone(own, leaking):
    (leaking / "test" / "bar" / "bar0test.png").unlink()
    striate.audit(own, only=["contradictions"])
    lines: list[str] = []
    striate.audit(own, only=["contradictions"], say=lines.append)
    assert lines == ["contradictions: kept from an earlier audit"]
    lines.clear()
    striate.audit(own, leaking, only=["contradictions"], say=lines.append)
    assert "about" in lines[0]


def test_what_is_kept_and_changed_is_measured_anew(own):
    first = striate.audit(own, only=["contradictions"])
    kept = sorted((own.path / "evaluations").glob("audit-*.json"))
    for path in kept:
        path.write_text(path.read_text().replace('"severity": "pass"', '"severity": "fail"'))
    lines: list[str] = []
    again = striate.audit(own, only=["contradictions"], say=lines.append)
    assert kept
    assert "about" in lines[0]
    assert again.findings[0].severity == first.findings[0].severity == "pass"


def test_only_and_skip(own):
    assert [f.check for f in striate.audit(own, only=["contradictions"]).findings] == [
        "contradictions"
    ]
    asked = {f.check for f in striate.audit(own, skip=["baselines"]).findings}
    assert asked == set(CHECKS) - {"baselines"}
    with pytest.raises(ArgumentError, match="no check is called 'leak'; did you mean leaks"):
        striate.audit(own, only=["leak"])


def test_a_gate_ends_with_status_1(own, leaking, capsys):
    train, test = (leaking / s / "bar" / f"bar0{s}.png" for s in ("train", "test"))
    test.write_bytes(train.read_bytes())
    assert cli.main(["audit", str(own.path), str(leaking), "--only", "leaks"]) == 1
    assert "failed: leaks" in capsys.readouterr().out


def test_fail_on(own):
    crossed = Finding("baselines", "", crossed=True)
    assert crossed.judged(gate=False).severity == "note"
    assert crossed.judged(gate=True).severity == "fail"
    assert Finding("baselines", "").judged(gate=True).severity == "pass"
    assert Finding.skipped("baselines", "why").judged(gate=True).severity == "skipped"
    assert "failed: baselines" in Audit("", "", "", 1, (crossed.judged(gate=True),)).verdict
    with pytest.raises(ArgumentError, match="no check"):
        striate.audit(own, fail_on=["everything"])


def test_a_finding_comes_back_as_it_was_kept(own):
    for finding in striate.audit(own).findings:
        row = finding.as_dict()
        assert Finding.of(json.loads(json.dumps(row))).as_dict() == row


def test_a_run_that_cannot_be_written_is_audited(own, monkeypatch):
    def refuse(*_args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("striate.auditing.run_checks.write_sealed", refuse)
    assert striate.audit(own, only=["leaks"]).findings


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--only", "leek"], 2, "did you mean leaks"),
        (["--budget", "soon"], 2, "90s"),
        (["--split", "tset"], 2, "split=tset"),
        (["--budget", "-3"], 2, "budget=-3s"),
    ],
)
def test_wrong_words(own, capsys, words, status, says):
    assert cli.main(["audit", str(own.path), *words]) == status
    said = capsys.readouterr().err.splitlines()
    assert says in said[-1]


def test_data_without_a_net(leaking):
    found = striate.audit(None, leaking)
    assert {each.check for each in found.findings} == {
        name for name, check in CHECKS.items() if not check.needs_run
    }


def test_the_command_for_data(leaking, capsys):
    assert cli.main(["data", str(leaking), "--audit", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["run"] == ""
    assert {row["check"] for row in document["findings"]} >= {"leaks", "shortcuts"}
    train, test = (leaking / s / "bar" / f"bar0{s}.png" for s in ("train", "test"))
    test.write_bytes(train.read_bytes())
    assert cli.main(["data", str(leaking), "--audit"]) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_too_little_is_skipped_with_a_reason(own, leaking, count):
    for file in leaking.glob("test/*/*.png"):
        if int("".join(c for c in file.stem if c.isdigit())) >= count:
            file.unlink()
    found = striate.audit(own, leaking, only=["baselines", "labels"]).findings
    said = {each.check: each for each in found}
    assert said["baselines"].severity == "skipped"
    assert f"test has {3 * count} items" in said["baselines"].text
    assert "of 120 in train" in said["labels"].text  # which are enough


def test_another_task(tmp_path, digits_values):
    run = striate.train(digits_values, net="lenet5", epochs=1, out=tmp_path, plan="default")
    found = striate.audit(run)
    assert not found.failed
    assert any("the items have numbers" in each.text for each in found.findings)


@pytest.fixture
def digits_values(tmp_path, clean):
    """Pictures with a number each."""
    folder = tmp_path / "values"
    folder.mkdir()
    rows = ["file,value"]
    for i, file in enumerate(sorted((clean / "train").rglob("*.png"))):
        (folder / file.name).write_bytes(file.read_bytes())
        rows.append(f"{file.name},{i % 7}.5")
    (folder / "values.csv").write_text("\n".join(rows))
    return folder


def test_a_threshold_of_the_run_decides(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 20)):
        for label in ("bar", "box"):
            for i in range(count):
                write(tmp_path / "d" / split / label / f"{i}.png", draw(rng, label))
    run = striate.train(
        tmp_path / "d", net="lenet5", epochs=2, out=tmp_path, plan="default", threshold=0.999
    )
    (whole,) = {
        round(each.limit, 6)
        for each in striate.audit(run, only=["baselines"]).findings
        if each.limit is not None
    }
    assert whole == pytest.approx(run.summary["scores"]["accuracy"]["value"], abs=1e-6)


def test_the_net_is_left_as_it_was(own):
    net = own.net
    net.train()
    striate.audit(own, only=["baselines"])
    assert net.training
    assert isinstance(own, Run)
