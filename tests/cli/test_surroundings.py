"""What the system around a command may lack or do: no home, no letters beyond ASCII, no reader, no room, a signal."""

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import cli
from striate.errors import DataError


def striate(*words, env=None, **given):
    return subprocess.run(
        [sys.executable, "-m", "striate", *map(str, words)],
        env={**os.environ, **(env or {})}, stderr=subprocess.PIPE, check=False, **given,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], [], ["--version"], ["nets"]])
@pytest.mark.parametrize("to", ["closed", "full"])
def test_a_reader_that_goes_or_a_full_disk_is_no_traceback(words, to):
    if to == "full":
        with Path("/dev/full").open("w") as full:
            done = striate(*words, stdout=full)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
    else:
        read, write = os.pipe()
        os.close(read)
        done = striate(*words, stdout=write)
        os.close(write)
        assert done.returncode == 141
        assert not done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_names_beyond_ascii_are_escaped_where_they_cannot_be_shown(tmp_path, json_):
    root = tmp_path / "Füße"
    for name in ("größe", "宽"):
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(root / name / f"é{i}.png")
    env = {"PYTHONIOENCODING": "ascii"}
    done = striate("data", root, *json_, env=env, stdout=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode("ascii")
    if json_:
        assert json.loads(out)["classes"] == ["größe", "宽"]
    gone = striate("data", tmp_path / "宽", env=env, stdout=subprocess.PIPE)
    assert (gone.returncode, gone.stderr.count(b"\n")) == (3, 1)


def nobody(monkeypatch):
    """A process whose user the system does not know, without HOME."""

    def unknown(_uid):
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "STRIATE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize(
    "words", [["data", "digits"], ["train", "digits", "net=lenet5", "epochs=1"], ["doctor"]]
)
def test_without_a_home_it_is_one_line_that_says_what_to_set(monkeypatch, tmp_path, capsys, words):
    nobody(monkeypatch)
    monkeypatch.chdir(tmp_path)
    status = cli.main(words)
    said = capsys.readouterr().err
    assert status in (0, 3)
    if status:
        assert "set $HOME or $STRIATE_CACHE, or name a folder with cache=" in said
        assert said.count("\n") == 1


def test_a_cache_that_is_named_needs_no_home(monkeypatch, tmp_path):
    from striate.data.cache import store

    nobody(monkeypatch)
    assert store(tmp_path).folder == tmp_path
    with pytest.raises(DataError, match="no home folder is known"):
        store()


def test_the_home_of_a_user_who_is_not_there_is_one_line(capsys):
    assert cli.main(["data", "~nobody-of-this-name/pictures"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.3, 2.5])
def test_no_folder_outlives_a_launch(shapes, tmp_path, signum, after):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = ["train", shapes, "net=lenet5", "epochs=300", "devices=2", "device=cpu", "--out", tmp_path / "runs"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", *map(str, words)],
        env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    end = time.monotonic() + 60
    while not list(scratch.iterdir()) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(after)
    process.send_signal(signum)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 128 + signum, said
    assert not list(scratch.iterdir())
