"""All pictures of a run, and a layer over its checkpoints."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import striate
from striate import cli, see
from striate.errors import ArgumentError
from striate.runs import checkpoint
from striate.see import paint
from striate.see.attribution.section import worst_section
from striate.see.pictures.album import _items
from striate.text import times


@pytest.fixture(scope="module")
def kept(shapes, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return striate.train(
        shapes, net="lenet5", epochs=5, batch=16, out=out, plan="default", keep=1000
    )


def test_every_checkpoint_is_kept_that_is_asked_for(kept, run):
    count = len(list((kept.path / "checkpoints").glob("step-*")))
    assert count >= 5
    assert len(list((run.path / "checkpoints").glob("step-*"))) <= 3


def test_kernels_are_those_of_the_checkpoints(kept):
    found = see.evolution(kept, layer="conv1")
    folders = sorted((kept.path / "checkpoints").glob("step-*"))
    assert [each.step for each in found.moments] == [int(f.name[5:]) for f in folders]
    for folder, each in zip(folders, found.moments, strict=True):
        saved = checkpoint.load(folder).tensors
        wanted = saved.get("ema.conv1.weight", saved["net.conv1.weight"])
        assert np.array_equal(each.weights, wanted.float().numpy())
    assert found.moments[-1].correlation == 1
    assert found.moments[0].correlation < 1


def test_maps_of_an_item(kept):
    found = see.evolution(kept, layer="conv2", item=0, limit=3)
    assert all(len(row.plates) == 3 for row in found.rows())
    with pytest.raises(ArgumentError, match="item=999"):
        see.evolution(kept, item=999)
    with pytest.raises(ArgumentError, match="conv1"):
        see.evolution(kept, layer="cnv1")


@pytest.mark.parametrize(
    ("least", "kind", "low"), [(-np.inf, "diverging", -1.0), (0, "sequential", 0.0)]
)
def test_maps_below_zero_are_drawn_around_it(kept, least, kind, low):
    found = see.evolution(kept, layer="conv2", item=0)
    moments = tuple(replace(each, maps=np.asarray(each.maps).clip(least)) for each in found.moments)
    found = replace(found, moments=moments)
    (ramp,) = found.ramps()
    assert (ramp.kind, ramp.low, ramp.high) == (kind, low, 1.0)
    colours = paint.diverging if kind == "diverging" else paint.sequential
    for row, each in zip(found.rows(), found.moments, strict=True):
        maps = np.asarray(each.maps)
        wanted = colours(maps[0], np.abs(maps).max())
        assert np.array_equal(row.plates[0].pixels, wanted)


@pytest.mark.parametrize(("make", "says"), [(see.evolution, "first"), (see.filters, "mean")])
def test_what_is_drawn_of_several_inputs_is_said(kept, make, says):
    given = kept if make is see.evolution else kept.net
    assert make(given, layer="conv1").remarks() == []
    (words,) = make(given, layer="conv2").remarks()
    assert f"6 input channels, of which the {says}" in words


@pytest.mark.slow
def test_the_album_holds_what_can_be_made(kept, tmp_path, capsys):
    page = tmp_path / "album.html"
    assert cli.main(["see", "all", str(kept.path), "--out", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["pictures"]) >= {
        "curves",
        "mistakes",
        "kernels",
        "saliency",
        "deconvnet",
        "embedding",
        "evolution",
    }
    text = page.read_text()
    assert all(f'id="{name}"' in text for name in document["pictures"])
    assert len(text) < 20_000_000


@pytest.fixture(scope="module")
def of_several_sizes(tmp_path_factory):
    """Pictures of their own sizes: a third is smaller."""
    root, rng = tmp_path_factory.mktemp("sizes"), np.random.default_rng(0)
    for label in ("dark", "light"):
        (root / "data" / label).mkdir(parents=True)
        for i in range(24):
            side = 24 if i % 3 else 20
            pixels = rng.integers(0, 90, (side, side), np.uint8) + 100 * (label == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(root / "data" / label / f"{i}.png")
    return striate.train(
        root / "data",
        net="resnet20_cifar",
        width=0.25,
        crop=16,
        epochs=1,
        val=0.4,
        out=root,
        plan="default",
    )


def test_an_album_of_items_of_several_sizes_shows_those_of_one(of_several_sizes):
    x, more, note = _items(of_several_sizes, 0)
    assert x.shape[1:] == more.shape[1:] == (1, 24, 24)
    assert len(more) > len(x) == 2
    assert note.endswith(f"the {len(more)} of {times((24, 24, 1))} are shown.")


@pytest.mark.slow
def test_the_album_of_items_of_several_sizes_is_made(of_several_sizes):
    found = see.album(of_several_sizes)
    assert {"curves", "mistakes", "maps", "saliency"} <= set(found.pages)
    assert found.note in found.as_text()
    assert found.note in found.as_html()


def test_the_report_says_how_one_of_several_sizes_is_explained(of_several_sizes):
    run = of_several_sizes
    opened = run.open_data()
    found = worst_section(run, run.held(opened, opened.judged), count=24)
    assert found.text.endswith(f"striate see saliency {run.path} PICTURE")


@pytest.mark.slow
def test_a_run_of_another_kind_leaves_out_with_reasons(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3, 32)).astype(np.float32)
    np.savez(tmp_path / "series.npz", x=x, y=np.arange(60) % 2)
    run = striate.train(
        tmp_path / "series.npz",
        layout="series_items",
        net="fcn1d",
        epochs=1,
        out=tmp_path,
        plan="default",
        width=0.25,
    )
    found = see.album(run)
    assert "curves" in found.pages
    assert "augmented" in found.left_out
    assert all(found.left_out.values())
