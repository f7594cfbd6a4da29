"""Chunks in threads: in order, no further ahead than needed, errors passed on."""

import threading
import time

import numpy as np
import pytest

from striate.data.workers import available, chunks_of, everything, in_order


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
