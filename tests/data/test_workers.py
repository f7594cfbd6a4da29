"""Chunks in threads: in order, no further ahead than needed, errors passed on."""

import threading
import time

import numpy as np
import pytest

import striate
from striate.data import sources, workers
from striate.data.workers import available, chunks_of, everything, in_order
from striate.errors import DataError


def test_results_come_in_order_whoever_is_first():
    def work(index):
        time.sleep(0.002 if index[0] % 4 == 0 else 0)
        return index.sum()

    done = list(in_order(work, everything(100, 2)))
    assert [d.index.tolist() for d in done] == [[i, i + 1] for i in range(0, 100, 2)]
    assert [d.result for d in done] == [2 * i + 1 for i in range(0, 100, 2)]


def test_it_never_runs_far_ahead_of_the_reader():
    seen: list[int] = []
    results = in_order(lambda index: seen.append(int(index[0])), everything(1000, 1))
    next(results)
    time.sleep(0.05)
    assert len(seen) <= 2 * available() + 1
    results.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("striate-data")]


def test_an_error_comes_through_and_ends_the_threads():
    def work(index):
        raise OSError(f"item {index[0]}")

    with pytest.raises(OSError, match=r"^item 0$"):
        list(in_order(work, everything(50, 1)))
    assert not [t for t in threading.enumerate() if t.name.startswith("striate-data")]


def test_chunks_cover_every_number():
    assert [c.tolist() for c in chunks_of(np.array([5, 6, 7]), 2)] == [[5, 6], [7]]
    assert everything(0) == []


def test_a_read_that_hangs_is_named_in_time_and_keeps_nothing(
    cache, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(workers, "PATIENCE", 0.3)
    monkeypatch.setattr(workers, "_LEAVE", 0.1)
    opened = striate.open(pictures({"cat": 9, "dog": 9}))
    gone, read = threading.Event(), sources.Files.data

    def hangs(self, i):
        if self.names[i] == "dog/004.png":
            gone.wait(30)
        return read(self, i)

    for ask in (lambda: opened.fingerprint, lambda: opened.arrays("train", size=(8, 8))):
        monkeypatch.setattr(sources.Files, "data", hangs)
        with pytest.raises(DataError, match=r"dog/004\.png was waited for 0 s: is its disk"):
            ask()
        monkeypatch.setattr(sources.Files, "data", read)
        _ = opened.fingerprint  # the disk is back, and read; what hangs next is the decoding
    gone.set()
    assert not list((cache / "arrays").glob("*"))
    assert len(opened.arrays("train", size=(8, 8))) + len(opened.arrays("val", size=(8, 8))) == 18


def test_a_slow_disk_is_not_one_that_hangs(monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 0.3)

    def work(index):
        return [time.sleep(0.05) for _ in workers.each(index)]  # the chunk takes longer in all

    assert len(next(iter(in_order(work, everything(20, 20)))).result) == 20
