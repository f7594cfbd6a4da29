"""Run folders as the page reads them: while they grow, when they are damaged, and at the end."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained import trained

from striate.errors import ArgumentError, CheckpointError
from striate.runs import Run
from striate.studio import audits, runs
from striate.studio.routes import NAME, Refusal, Request
from striate.studio.session import Session

ROWS = "epoch,lr,train_loss,val_loss,val_accuracy\n1,0.1,2.5,2.25,0.125\n"
HEALTH = "step,layer,output,dead,weight,gradient\n0,a,1,0,,\n0,b,2,0.5,3,4\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training that has just begun."""
    path = tmp_path / "classify" / "one"
    path.mkdir(parents=True)
    (path / "args.yaml").write_text("net: lenet5\nepochs: 3\noptions:\n  width: 2\n")
    return path


def lock(path: Path, words: str = f"process {os.getpid()} on {socket.gethostname()}\n") -> None:
    (path / ".lock").write_text(words)


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (None, "stopped"),
        (f"process {os.getpid()} on {socket.gethostname()}\n", "training"),
        (f"process {dead_process()} on {socket.gethostname()}\n", "stopped"),
        ("process 1 on another.example\n", "training"),
        ("", "training"),
    ],
    ids=["no lock", "alive", "dead", "elsewhere", "just made"],
)
def test_the_state_is_read_off_the_lock(folder: Path, words: str | None, state: str):
    if words is not None:
        lock(folder, words)
    assert runs.state(folder) == state


def test_a_watched_folder_is_not_written_and_its_lock_stays_free(folder: Path):
    from striate.runs.folder import lock as take

    (folder / "results.csv").write_text(ROWS)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    watch: Any = runs.events("a", folder, sleep=lambda _s: None)
    next(watch)
    with take(folder):
        assert next(watch)["state"] == "training"
    assert {p: m for p, m in before.items() if p.stat().st_mtime_ns != m} == {}
    assert {p.name for p in folder.iterdir()} - {"args.yaml", "results.csv"} <= {".lock"}


def test_events_tell_what_changed_and_go_back_where_the_training_did(folder: Path):
    waits: list[float] = []
    lock(folder)
    watch: Any = runs.events("a", folder, sleep=waits.append)
    first: Any = next(watch)
    assert (first["state"], first["from"], first["columns"]) == ("training", 0, {})
    assert next(watch) is None
    (folder / "results.csv").write_text(ROWS)
    assert next(watch)["columns"]["val_loss"] == [2.25]
    (folder / "results.csv").write_text(ROWS + "2,0.1,1.5,,0.5\n")
    second: Any = next(watch)
    assert (second["from"], second["columns"]["train_loss"]) == (1, [1.5])
    assert second["columns"]["val_loss"] == [None]
    (folder / "results.csv").write_text(ROWS.replace("2.5,", "2.75,"))
    assert (back := next(watch))
    assert (back["from"], back["columns"]["train_loss"]) == (0, [2.75])
    (folder / "health.csv").write_text(HEALTH + "10,a,1")
    told = next(watch)
    assert told is not None
    assert told["health"].steps == [0]
    assert told["health"].values["gradient"] == [[None], [4.0]]
    (folder / "summary.json").write_text("{}")
    assert (end := next(watch))
    assert end["state"] == "finished"
    with pytest.raises(StopIteration):
        next(watch)
    assert set(waits) == {0.25}  # four looks a second


def test_a_table_that_is_damaged_is_left_out(folder: Path):
    (folder / "results.csv").write_text("epoch,lr\n1,two\n")
    (folder / "health.csv").write_bytes(b"\xff\x00,\n1,2\n")
    found = runs.history("a", folder)
    assert found.columns == {}
    assert found.planned == 3
    assert found.recipe["width"] == "2"


def test_no_run_folder_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no run folder"):
        runs.history("a", tmp_path)


def test_ids_are_safe_in_an_address_and_differ(tmp_path: Path):
    for name in ("a b", "a/../c", "\N{CYRILLIC SMALL LETTER A}", "<img onerror=x>"):
        path = tmp_path / "classify" / name.replace("/", "_")
        path.mkdir(parents=True)
        (path / "args.yaml").write_text("")
    found = runs.listed([tmp_path])
    assert len(found) == 4
    assert all(re.fullmatch(NAME, key) for key in found)


def test_a_finished_run_is_told_whole():
    path = trained()
    found = runs.history("a", path)
    assert found.run.state == "finished"
    assert found.columns["val_loss"] == [row["val_loss"] for row in Run(path).history()]
    assert found.scores["val"]["accuracy"]["low"] is not None
    assert found.health is not None
    assert found.health.layers[0] == "conv1"
    assert len(found.checkpoints) >= 2


def test_kernels_are_those_of_the_checkpoint():
    path = trained()
    first, *_, last = runs.steps_of(path)
    net = Run.load(path).net
    newest = runs.kernels(path)
    assert (newest.step, newest.layer, newest.correlation) == (last, "conv1", 1.0)
    earlier = runs.kernels(path, first)
    assert earlier.correlation < 1
    assert newest.layers == ("conv1", "conv2")
    best = Run(path).summary["kept"] * Run(path).summary["steps"]
    kept = runs.kernels(path, best, "conv2").weights
    np.testing.assert_array_equal(kept, net.state_dict()["conv2.weight"].numpy())


def test_maps_are_those_that_the_net_gives():
    path = trained()
    run = Run.load(path)
    conv1 = run.net.get_submodule("conv1")
    best = run.summary["kept"] * run.summary["steps"]
    data = run.open_data()
    pre = run.config.preprocessing
    arrays = data.arrays("val", form=pre.form)
    x = pre.normalise(pre.centre(torch.from_numpy(np.array(arrays.inputs[5:6]))))
    with torch.no_grad():
        wanted = conv1(x)[0].numpy()
    np.testing.assert_allclose(runs.maps(path, "conv1", 5, best), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda p: runs.kernels(p, 3), "no checkpoint of that step"),
        (lambda p: runs.kernels(p, None, "fc1"), "no kernels there"),
        (lambda p: runs.maps(p, "conv1", 10**6), "there are items 0 to"),
        (lambda p: runs.compared({"a": p}), "two runs"),
    ],
)
def test_what_is_not_there_is_said(ask: Any, said: str):
    with pytest.raises((CheckpointError, ArgumentError), match=said):
        ask(trained())


def test_runs_are_compared_by_settings_and_items(tmp_path: Path):
    path = trained()
    other = tmp_path / "classify" / "other"
    shutil.copytree(path, other)
    text = (other / "args.yaml").read_text()
    (other / "args.yaml").write_text(text.replace("epochs: 2", "epochs: 4"))
    found = runs.compared({"a": path, "b": other})
    assert found["settings"] == {"epochs": {"a": "2", "b": "4"}}
    assert {row["value"] for row in found["differences"]} == {0.0}
    assert found["items"] == 359


def test_unknown_runs_are_404():
    session = Session()
    try:
        with pytest.raises(Refusal, match="no run") as caught:
            runs.folder(session, Request("GET", "api/runs/x/history", {"run": "x"}))
        assert caught.value.status == 404
    finally:
        session.close()


# ------------------------------------------------------------------------------------------ audits


def test_an_audit_runs_check_by_check_is_kept_and_becomes_tables(tmp_path: Path):
    path = tmp_path / "run"
    shutil.copytree(trained(), path)
    assert audits.record(path).file == ""
    told = list(audits.auditing(audits._OwnCopy(path), ["calibration", "corruptions"], 3))
    names = [name for name, _ in told]
    assert names == ["start", "check", "finding", "check", "finding"]
    found = audits.record(path)
    assert [each["name"] for each in found.checks] == ["corruptions", "calibration"] or [
        each["name"] for each in found.checks
    ] == ["calibration", "corruptions"]
    grid = next(each for each in found.grids if each.check == "corruptions")
    assert len(grid.rows) == 19
    assert grid.columns == ["1", "2", "3", "4", "5"]
    rows = next(f for c in found.checks if c["name"] == "corruptions" for f in c["findings"])
    first = rows["evidence"][0]
    assert (grid.rows[0], grid.values[0]) == (first["kind"], first["at"])


def test_an_audit_of_the_command_line_is_read_too(tmp_path: Path):
    path = tmp_path / "run"
    path.mkdir()
    finding: dict[str, Any] = {
        "check": "adversarial",
        "severity": "note",
        "text": "t",
        "value": 0.5,
        "low": 0.25,
    }
    finding |= {"high": 0.75, "limit": 0.875, "unit": "accuracy", "advice": "", "seconds": 1.0}
    rows = [
        {"attack": "pgd", "strength": s, "accuracy": a, "low": 0.0, "high": 1.0}
        for s, a in ((0.5, 0.75), (2.0, 0.25))
    ]
    finding["evidence"] = [*rows, {"file": "a.png", "split": "val"}]
    (path / "audit.json").write_text(json.dumps({"findings": [finding]}))
    (grid,) = audits.record(path).grids
    assert (grid.rows, grid.columns, grid.values, grid.clean) == (
        ["pgd"],
        ["0.5", "2"],
        [[0.75, 0.25]],
        0.875,
    )


def test_a_cancelled_audit_stops_within_a_check(tmp_path: Path):
    path = tmp_path / "run"
    shutil.copytree(trained(), path)
    run = audits._OwnCopy(path)
    steps = audits.auditing(run, ["corruptions", "calibration"], 60)
    assert [next(steps)[0], next(steps)[0]] == ["start", "check"]
    run.stop = lambda: True
    assert [name for name, _ in steps] == ["stopped"]


def test_unknown_checks_are_refused():
    with pytest.raises(ArgumentError, match="no check"):
        next(audits.auditing(audits._OwnCopy(Path("x")), ["nonsense"], 1))


@pytest.mark.parametrize(
    ("check", "row", "column"),
    [
        ("corruptions", "gaussian_noise", "5"),
        ("equivariance", "shift by 8", ""),
        ("adversarial", "one step", "8"),
    ],
)
def test_a_cell_opens_its_worst_items(check: str, row: str, column: str):
    case = audits._opened(trained(), None, 0.0)
    found = audits.cell(case, check, row, column, side=0)
    assert found.pictures.shape[1:] == (28, 28, 3)
    pre, net = case.used.preprocessing, case.used.net
    stored = torch.from_numpy(found.pictures[..., :1].copy())
    with torch.no_grad():
        shares = net(pre.normalise(stored)).softmax(1)
    for item, share in zip(found.items, shares, strict=True):
        assert case.data.classes[int(share.argmax())] == item["answer"]
        assert float(share.max()) == pytest.approx(
            item["p"], abs=0.02
        )  # attacks are no whole grey levels before
    bad = [item["bad"] for item in found.items]
    assert bad == sorted(bad, reverse=True)
    sure = [item["p"] for item in found.items if item["bad"]]
    assert sure == sorted(sure, reverse=True)


@pytest.mark.parametrize(
    "at",
    [
        ("corruptions", "fog", "6"),
        ("corruptions", "x", "1"),
        ("equivariance", "x", ""),
        ("adversarial", "pgd", "999"),
        ("labels", "", ""),
    ],
)
def test_cells_that_are_none_are_refused(at: tuple[str, str, str]):
    with pytest.raises(ArgumentError):
        audits.cell(audits._opened(trained(), None, 0.0), *at)
