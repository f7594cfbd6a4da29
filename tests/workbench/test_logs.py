"""Logs that are torn or gone never block a training, and a run that cannot be written can be used."""

import json
import os
import shutil
import signal

import pytest

import striate
from striate import cli
from striate.errors import CheckpointError, Stopped
from striate.runs import Run, split_answers
from striate.training import Progress, read_recipe
from striate.workbench.train import resume, train_recipe

QUICK = {"net": "lenet5", "epochs": 3, "batch": 8, "plan": "default", "health": 4}
LOGS = ["health.csv", "results.csv", "mishaps.json", "failure.json", ".lock", ".launch"]


def trained(shapes, out, **words):
    recipe = read_recipe("quick", QUICK)
    return train_recipe(shapes, recipe, out=out, progress=Progress(**words)).run.path


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    return trained(shapes, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def begun(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("begun")

    def stopping(_name, done, _total):
        if done == 13:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        trained(shapes, out, bar=stopping)
    (path,) = (out / "classify").iterdir()
    return path


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size if path.exists() else 4096))


def torn(path):
    content = path.read_bytes() if path.exists() else b'{"steps": [{"step": 3, "l'
    path.write_bytes(content[: len(content) - 7])


def tail_of_zeros(path):
    path.write_bytes((path.read_bytes() if path.exists() else b"") + bytes(600))


def noise(path):
    path.write_bytes(bytes(range(256)) * 9)


def other_json(path):
    path.write_text('{"steps": {"a": 1}}')


def pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def emptied(path):
    path.write_bytes(b"")


HARMS = [zeros, torn, tail_of_zeros, noise, other_json, pipe, emptied]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("log", LOGS)
def test_a_damaged_log_never_blocks_a_resume(whole, begun, tmp_path, log, harm):
    if log == ".lock" and harm is pipe:
        pytest.skip("a lock is opened for writing, and nobody puts a pipe there")
    path = shutil.copytree(begun, tmp_path / "run")
    harm(path / log)
    said = []
    resume(path, progress=Progress(say=said.append))
    assert (path / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    if log in ("health.csv", "mishaps.json"):
        assert [line for line in said if log in line and "the training goes on" in line], said
    rows = Run(path).history()
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    steps = [int(row["step"]) for row in split_answers.read_rows(path / "health.csv")]
    assert steps == sorted(steps)
    assert steps[-1] == 24


def test_what_happened_to_steps_is_under_a_hash(begun, tmp_path, shapes):
    from striate.training.failures import Guard

    guard = Guard(path=tmp_path, mishaps=[])
    guard.mishaps.append({"step": 3, "loss": "nan", "back_to": 1})
    guard._write()
    assert Guard(path=tmp_path).mishaps == guard.mishaps
    content = (tmp_path / "mishaps.json").read_text()
    (tmp_path / "mishaps.json").write_text(content.replace('"step": 3', '"step": 2'))
    said = []
    assert Guard(path=tmp_path, say=said.append).mishaps == []
    assert "which steps were left out before is not known" in said[0]
    (tmp_path / "mishaps.json").write_text(json.dumps({"steps": guard.mishaps}))  # as before
    assert Guard(path=tmp_path).mishaps == guard.mishaps


@pytest.mark.parametrize("harm", [zeros, torn, noise, pipe, emptied])
@pytest.mark.parametrize("log", ["results.csv", "items.csv"])
def test_a_damaged_table_of_a_finished_run_is_one_line(whole, tmp_path, capsys, log, harm):
    path = shutil.copytree(whole, tmp_path / "run")
    harm(path / log)
    if log == "items.csv":
        if harm is not torn:  # a number that was cut is one still
            assert cli.main(["compare", str(path), str(whole)]) == 5
            assert capsys.readouterr().err.count("\n") == 1
    elif harm is not torn:
        with pytest.raises(CheckpointError, match=r"results\.csv"):
            Run(path).history()


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_a_run_that_cannot_be_written_is_evaluated_and_predicts(
    whole, shapes, tmp_path, capsys, monkeypatch, json_
):
    path = shutil.copytree(whole, tmp_path / "run")
    (path / "evaluations").write_text("a file where the folder would be")
    assert cli.main(["evaluate", str(path), *json_]) == 0
    out = capsys.readouterr().out
    assert "these scores are not kept" in out
    if json_:
        assert json.loads(out)["scores"] == striate.Run(whole).evaluate().as_dict()["scores"]
    (path / "evaluations").unlink()

    def refused(self, *_args, **_words):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(path), "mkdir", refused)
    assert cli.main(["evaluate", str(path), *json_]) == 0
    assert "these scores are not kept" in capsys.readouterr().out
    assert cli.main(["predict", str(path), str(shapes / "bar"), *json_]) == 0
