"""Files written whole, folders held by one."""

import json
import os
import subprocess
import sys

import pytest

from striate.errors import CheckpointError, UsageError
from striate.runs import folder


def test_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    folder.write_json(path, {"a": 1})

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot be written"):
        folder.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    import shutil

    def nothing_left(path: object):
        return shutil._ntuple_diskusage(10, 10, 0)

    monkeypatch.setattr(shutil, "disk_usage", nothing_left)
    error = folder.cannot_write(tmp_path / "x", OSError(28, "No space left"), needed=1000)
    assert str(error) == (
        f"{tmp_path}/x: the disk is full (1,000 bytes needed, 0 free); free some room and try again"
    )


def test_read_json_says_what_is_wrong(tmp_path):
    with pytest.raises(CheckpointError, match=r"is no run folder: it holds no config\.json"):
        folder.read_json(tmp_path / "config.json")
    for text in ("{", "[1]", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
            folder.read_json(tmp_path / "config.json")


def test_names_are_numbered_unless_chosen(tmp_path):
    made = [folder.make(tmp_path, "classify", None, "digits-lenet5").name for _ in range(3)]
    assert made == ["digits-lenet5", "digits-lenet5-2", "digits-lenet5-3"]
    folder.make(tmp_path, "classify", "mine", "x")
    with pytest.raises(UsageError) as caught:
        folder.make(tmp_path, "classify", "mine", "x")
    there = tmp_path / "classify" / "mine"
    assert str(caught.value) == (f"{there} is there already: choose another --name")
    with pytest.raises(UsageError, match="cannot name a folder"):
        folder.make(tmp_path, "classify", "../out", "x")


def test_an_out_that_is_a_file_or_missing_right(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"--out .*file: .*name another --out"):
        folder.make(tmp_path / "file", "classify", None, "x")
    with pytest.raises(
        UsageError, match=r"no run folder can be made there \(.*\); name another --out"
    ):
        folder.make(folder.Path("/proc/nowhere"), "classify", None, "x")


@pytest.mark.slow
def test_the_second_writer_is_told_who_is_first(tmp_path):
    code = (
        "import sys; from pathlib import Path; from striate.runs import folder\n"
        f"with folder.lock(Path({str(tmp_path)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(
                UsageError, match=rf"is being written by process {other.pid} on .*wait for it"
            ),
            folder.lock(tmp_path),
        ):
            pass
        other.kill()
        other.wait()
    with folder.lock(tmp_path):  # the lock of a killed process is no lock
        pass
    assert not (tmp_path / ".lock").exists()
