"""Built-in names: the embedded digits, and the others looked up, fetched, or named as missing."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate import data
from striate.data import builtin
from striate.data.builtin import PUBLISHED, Published
from striate.data.cache import store
from striate.data.index import Options
from striate.data.pictures import Limits
from striate.data.sources import Pixels
from striate.errors import ArgumentError, DataError


def options() -> Options:
    return Options((), Limits(), store())


@pytest.fixture
def site(tmp_path: Path, idx_files) -> Iterator[Published]:
    """A server on this machine that publishes small idx files."""
    folder = tmp_path / "site"
    idx_files(folder)
    sums = {
        p.name: hashlib.md5(p.read_bytes(), usedforsecurity=False).hexdigest()
        for p in sorted(folder.iterdir())
    }

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Published(f"http://127.0.0.1:{server.server_port}/", sums)
        server.shutdown()
        thread.join()


def test_digits_come_with_a_dependency(cache):
    opened = data.open("digits")
    assert (opened.layout, opened.classes) == ("built-in digits", tuple("0123456789"))
    assert {name: len(split) for name, split in opened.splits.items()} == {
        "train": 1438,
        "val": 359,
    }
    assert (opened.color, opened.native_size) == ("grey", (8, 8))
    assert opened.arrays("train", size=(32, 32)).inputs.shape == (1438, 32, 32, 1)
    assert not cache.exists()


@pytest.mark.slow
def test_digits_are_those_of_the_package(cache, monkeypatch):
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    part = builtin.read("digits", options()).parts["all"]
    assert isinstance(part.source, Pixels)
    assert (part.source.images[..., 0] == np.rint(values * 255 / 16).reshape(-1, 8, 8)).all()
    assert (part.targets.strata() == labels).all()
    monkeypatch.setattr(builtin.importlib.util, "find_spec", {}.get)
    assert (builtin.read("digits", options()).parts["all"].targets.strata() == labels).all()


def test_a_folder_of_that_name_needs_a_slash(cache, pictures, monkeypatch):
    root = pictures({"a": 2, "b": 2}, root="digits")
    monkeypatch.chdir(root.parent)
    name = data.open("digits")
    assert len(name) == 1797
    assert name.note == "./digits is a folder here; digits alone means the built-in data"
    assert name.note in name.as_text()
    assert len(data.open("./digits")) == len(data.open(Path("digits"))) == 4


def test_they_are_looked_up_first(cache, tmp_path, idx_files, monkeypatch):
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "here"))
    idx_files(tmp_path / "here" / "mnist")
    opened = data.open("mnist")
    assert (opened.layout, len(opened)) == ("built-in mnist", 30)


def test_the_published_files_themselves_are_found(
    cache, tmp_path, idx_files, monkeypatch, pictures
):
    root = pictures({"a": 50, "b": 50})
    monkeypatch.setenv("STRIATE_DATA", str(root))
    idx_files(root)
    assert len(data.open("mnist")) == 30


def test_they_are_fetched_once_with_checksum(cache, site):
    first = builtin.read("mnist", options(), {"mnist": site})
    assert len(first.parts["train"]) == 20
    assert sorted(p.name for p in (cache / "downloads" / "mnist").iterdir()) == list(site.files)
    gone = Published("http://127.0.0.1:9/", site.files)
    assert len(builtin.read("mnist", options(), {"mnist": gone}).parts["test"]) == 10


def test_another_content_than_published_is_thrown_away(cache, site):
    wrong = Published(site.address, dict.fromkeys(site.files, "0" * 32))
    with pytest.raises(
        DataError,
        match=r"t10k-images-idx3-ubyte.gz: its MD5 is [0-9a-f]{32}, expected 0{32}: try again$",
    ):
        builtin.read("mnist", options(), {"mnist": wrong})
    assert list((cache / "downloads" / "mnist").iterdir()) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "missing"])
def test_no_network_says_what_to_put_where(cache, site, address):
    gone = Published(site.address + "gone/" if address == "missing" else address, site.files)
    with pytest.raises(DataError) as caught:
        builtin.read("mnist", options(), {"mnist": gone})
    start, _, end = str(caught.value).partition(" and cannot be fetched (")
    assert start == f"mnist is not in $STRIATE_DATA (not set) and {cache}/downloads/mnist"
    assert end.endswith(
        f"): put {', '.join(site.files)} from {gone.address} into the latter, "
        "or name their folder in $STRIATE_DATA"
    )
    assert list((cache / "downloads" / "mnist").iterdir()) == []


def test_only_https_is_fetched(cache):
    bad = Published("ftp://example.org/", {"a": "0"})
    with pytest.raises(DataError, match=r"^ftp://example.org/a: only https addresses are fetched$"):
        builtin.read("mnist", options(), {"mnist": bad})


def test_the_published_checksums(shared):
    """Three of the four real files; the wrapper of the fourth differs from the published one."""
    for name, checksum in PUBLISHED["mnist"].files.items():
        if name != "train-images-idx3-ubyte.gz":
            content = (shared / "data" / "mnist" / name).read_bytes()
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == checksum
    assert all(p.address.startswith("https://") for p in PUBLISHED.values())


def test_what_the_digits_do_not_have_is_refused():
    assert data.open("digits", task="reconstruct").task == "reconstruct"
    with pytest.raises(
        DataError, match=r"^digits has nothing for task=segment: it is for classify"
    ):
        data.open("digits", task="segment")
    with pytest.raises(ArgumentError, match=r"^layout=csv: digits comes with the package"):
        data.open("digits", layout="csv")
