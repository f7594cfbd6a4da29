"""Streams: the same pictures in the same order as from the cache, in time or with a name."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from striate import data
from striate.data import sources
from striate.errors import DataError, Stopped
from striate.training import batches, fit, read_recipe, resume
from striate.training.batches import read_shards
from striate.training.record import Progress

SETTINGS = {"net": "lenet5", "epochs": 2, "batch": 16, "plan": "default", "size": 28, "health": 0}


@pytest.fixture
def packed(shapes, tmp_path) -> Path:
    data.pack(data.open(shapes, val=0), tmp_path / "out", size=10_000)
    assert len(list(tmp_path.glob("out/*/*.tar"))) > 5
    return tmp_path / "out"


def weights(path: Path, out: Path, name: str, **settings: object) -> dict[str, torch.Tensor]:
    recipe = read_recipe("quick", {**SETTINGS, **settings})
    done = fit(data.open(path), recipe, out=out, name=name)
    return load_file(done.run.path / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_streamed_and_cached_trainings_end_with_the_same_bits(
    shapes, packed, tmp_path, monkeypatch
):
    cached = weights(shapes, tmp_path, "cached")
    from_shards = weights(packed, tmp_path, "shards", window=100)
    windowed = weights(packed, tmp_path, "windowed", window=2)
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    assert same(cached, weights(shapes, tmp_path, "streamed", workers=3))
    assert same(cached, from_shards)
    assert same(cached, weights(packed, tmp_path, "both", window=100, workers=1))
    assert same(windowed, weights(packed, tmp_path, "both-windowed", window=2))
    assert not same(cached, windowed)


@pytest.mark.slow
def test_a_streamed_training_goes_on_within_an_epoch_to_the_same_bits(
    packed, tmp_path, monkeypatch
):
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    whole = weights(packed, tmp_path, "whole", window=2)
    recipe = read_recipe("quick", {**SETTINGS, "window": 2})

    def stop(_name: str, done: int, _total: int) -> None:
        if done == 7:  # of five steps an epoch
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="stopped after step 7"):
        fit(data.open(packed), recipe, out=tmp_path, name="cut", progress=Progress(bar=stop))
    done = resume(tmp_path / "classify" / "cut")
    assert same(whole, load_file(done.run.path / "model.safetensors"))


def stream(path: Path, batch: int = 8, augment: str = "none") -> batches.Stream:
    arrays = data.open(path).arrays("train")
    assert isinstance(arrays.inputs, data.Streamed)
    from striate.inputs import Pictures

    return batches.Stream(
        torch.empty((0, *arrays.inputs.shape[1:]), dtype=torch.uint8),
        torch.from_numpy(arrays.targets),
        Pictures((28, 28), (28, 28), "grey", (0.0,), (1.0,)),
        batch,
        augment,
        0,
        pictures=arrays.inputs,
        workers=2,
    )


def test_pictures_arrive_as_the_cache_has_them_at_any_place(shapes, monkeypatch):
    held = data.open(shapes).arrays("train")
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    made = stream(shapes)
    for epoch, step in ((0, 0), (0, 1), (0, 5), (1, 0), (0, made.steps - 1), (1, 0), (4, 2)):
        index = made.order(epoch)[step]
        x, y = made.take(index, epoch, step)
        expected = torch.from_numpy(held.inputs[index.numpy()]).float().permute(0, 3, 1, 2)
        assert torch.equal(x, expected)
        assert y.tolist() == held.targets[index.numpy()].tolist()
    part = made.order(0)[1][2:5]  # as one of several processes would ask
    made.take(made.order(0)[0], 0, 0)  # and the whole of it is under way
    expected = torch.from_numpy(held.inputs[part.numpy()]).float().permute(0, 3, 1, 2)
    assert torch.equal(made.take(part, 0, 1)[0], expected)


def test_a_stream_is_like_an_array_to_whoever_reads_it(shapes, monkeypatch):
    held = data.open(shapes).arrays("val")
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    images = data.open(shapes).arrays("val").inputs
    assert isinstance(images, data.Streamed)
    assert images.shape == held.inputs.shape
    assert (np.asarray(images) == held.inputs).all()
    assert (images[3] == held.inputs[3]).all()
    assert (images[-1] == held.inputs[-1]).all()
    assert (np.ascontiguousarray(images[2:9:3]) == held.inputs[2:9:3]).all()
    assert (np.asarray(images[[4, 1]]) == held.inputs[[4, 1]]).all()
    assert np.asarray(images[:0]).shape == (0, *held.inputs.shape[1:])
    with pytest.raises(IndexError):
        _ = images[len(images)]


def test_a_picture_that_breaks_meanwhile_is_named(packed, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    made = stream(packed)
    for path in packed.glob("*/*.tar"):
        content = bytearray(path.read_bytes())
        for at in range(600, len(content), 512):
            content[at] ^= 1
        path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"\d\d.png cannot be read \(all/\d+.tar at offset [\d,]+: changed since"
    ):
        made.take(made.order(0)[0], 0, 0)


def test_a_read_that_hangs_ends_in_time_with_a_name(shapes, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE_GB", "0")
    made = stream(shapes)
    monkeypatch.setattr(batches, "PATIENCE", 0.3)
    gone = threading.Event()
    read = sources.Files.data

    def hangs(self, i):
        gone.wait(30)
        return read(self, i)

    monkeypatch.setattr(sources.Files, "data", hangs)
    index = made.order(0)[0]
    with pytest.raises(DataError, match=r"was waited for 0 s: is its disk or network") as caught:
        made.take(index, 0, 0)
    gone.set()
    assert str(caught.value).split()[0] == made.pictures.names[int(index[0])]


def places(sizes: list[int]) -> np.ndarray:
    rows = [(shard, 700 * i) for shard, size in enumerate(sizes) for i in range(size)]
    return np.array(rows, np.int64)[np.random.default_rng(1).permutation(sum(sizes))]


def test_the_order_of_shards_is_a_permutation_and_a_function_of_seed_and_epoch():
    from striate.training.reproducibility import generator

    shards = read_shards(places([100, 37, 80, 1, 64, 90]), 2)
    assert shards is not None
    one = shards.order(generator(0, "order", 3))
    assert sorted(one.tolist()) == list(range(372))
    assert torch.equal(one, shards.order(generator(0, "order", 3)))
    assert not torch.equal(one, shards.order(generator(0, "order", 4)))
    assert not torch.equal(one, shards.order(generator(1, "order", 3)))


def test_few_shards_are_open_at_a_time_and_each_is_read_nearly_in_sequence():
    from striate.training.reproducibility import generator

    count, size, window = 40, 500, 5
    where = places([size] * count)
    shards = read_shards(where, window)
    assert shards is not None
    order = shards.order(generator(0, "order", 0)).numpy()
    shard, rank = where[order, 0], where[order, 1] // 700
    for start in range(0, len(order), 250):
        assert len(set(shard[start : start + 250].tolist())) <= window + 2
    for k in range(count):
        mine = rank[shard == k]
        steps = np.diff(mine)
        assert (np.abs(steps) > 2 * 32).sum() <= 1  # where its reading goes round the circle
    mixed = [len(set(shard[start : start + 64].tolist())) for start in range(0, len(order), 64)]
    assert min(mixed) >= window - 1


def test_a_window_over_all_shards_is_no_window():
    assert read_shards(places([5, 5, 5]), 3) is None
    assert read_shards(None, 3) is None
