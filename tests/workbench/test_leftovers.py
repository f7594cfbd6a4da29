"""What a training that was killed leaves half-made is cleared by the next one."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import striate
from striate import files
from striate.runs import folder

QUICK = ["net=lenet5", "batch=8", "plan=default", "epochs=500", "--devices", "2"]


def left_alone(where):
    """A folder as a killed process leaves it: nobody holds it."""
    path = Path(tempfile.mkdtemp(prefix="striate-scratch-", dir=where))
    (path / "job.json").write_text("{}")
    return path


def test_temporary_folders_of_processes_that_are_gone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone, others = left_alone(tmp_path), tmp_path / "striate-scratch-notes-of-mine"
    others.mkdir()
    with files.scratch() as one, files.scratch() as two:
        (one / "x").write_text("")
        assert {path.name for path in tmp_path.iterdir()} == {one.name, two.name, others.name}
        assert not gone.exists()
    assert list(tmp_path.iterdir()) == [others]


def test_a_cache_entry_that_was_never_finished_is_removed_with_the_next(tmp_path):
    from striate.data.cache import store

    kept = store(tmp_path)
    (tmp_path / "arrays").mkdir()
    gone = Path(tempfile.mkdtemp(prefix="making-", dir=tmp_path / "arrays"))
    with kept.making("arrays", "a" * 64) as making:
        assert not gone.exists()
        with kept.making("arrays", "b" * 64):
            assert making.exists()
    assert {path.name for path in (tmp_path / "arrays").iterdir()} == {"a" * 64, "b" * 64}


@pytest.mark.parametrize(
    ("names", "goes"),
    [
        ([".lock"], True),
        ([".lock", "args.yaml", "trained.bin", ".config.json.part"], True),
        ([".lock", ".launch", "args.yaml"], True),
        ([".lock", "args.yaml", "config.json"], False),
        ([".lock", "folds.json"], False),
        ([".lock", "notes.txt"], False),
        (["args.yaml"], False),
    ],
)
def test_only_what_was_begun_and_never_settled_is_removed(tmp_path, names, goes):
    run = tmp_path / "classify" / "run"
    run.mkdir(parents=True)
    for name in names:
        (run / name).write_text("process 1 on here\n")
    folder.sweep(tmp_path)
    assert run.exists() is not goes
    if goes:
        run.mkdir()
        with folder.lock(run):
            folder.sweep(tmp_path)
            assert run.exists()


def appeared(pattern, where, seconds=150.0):
    """Wait until there is such a file."""
    end = time.monotonic() + seconds
    while not (found := list(where.glob(pattern))):
        assert time.monotonic() < end, f"no {pattern}"
        time.sleep(0.002)
    return found[0]


MOMENTS = {  # what is waited for, and who is killed how
    "job": ("tmp/striate-scratch-*/job.json", signal.SIGKILL, True),
    "recipe": ("tmp/striate-scratch-*/recipe-*", signal.SIGTERM, False),
    "locked": ("runs/*/*/.lock", signal.SIGKILL, True),
    "saving": ("runs/*/*/checkpoints/.step-*.tmp", signal.SIGKILL, False),
}


@pytest.mark.slow
def test_two_processes_killed_at_any_moment_leave_nothing_that_the_next_start_does_not_clear(
    shapes, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for name, (pattern, signum, every) in MOMENTS.items():
        words = ["train", str(shapes), *QUICK, "--out", str(tmp_path / "runs"), "--name", name]
        process = subprocess.Popen(
            [sys.executable, "-m", "striate", *words],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            appeared(
                pattern.replace("*/*", f"*/{name}") if "runs" in pattern else pattern, tmp_path
            )
            os.killpg(process.pid, signum) if every else process.send_signal(signum)
            process.wait(60)
            end = time.monotonic() + 60
            while time.monotonic() < end and _members(process.pid):  # its processes end with it
                time.sleep(0.05)
            assert not _members(process.pid)
        finally:
            for number in _members(process.pid):
                os.kill(int(number), signal.SIGKILL)
            process.wait()
    run = striate.train(
        shapes, "lenet5", out=tmp_path / "runs", batch=8, plan="default", epochs=1, devices=2
    )
    left = {path.name for path in (tmp_path / "tmp").iterdir()} - {f"torchinductor_{_user()}"}
    assert left == set()
    for path in (tmp_path / "runs" / "classify").iterdir():
        assert (path / "config.json").exists(), path
    assert not list(tmp_path.glob("runs/*/*/.*.part"))
    names = {path.name for path in (tmp_path / "runs" / "classify").iterdir()}
    assert names <= {run.path.name, "saving", "locked"}  # what can be gone on with
    assert "saving" in names


def _members(group):
    """Processes of a group that are not only waiting to be buried."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if of == str(group) and state != "Z":
            found.append(stat.parent.name)
    return found


def _user():
    import getpass

    return getpass.getuser()
