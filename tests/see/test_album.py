"""All pictures of a run, and a layer over its checkpoints."""

import json
from dataclasses import replace

import numpy as np
import pytest

import striate
from striate import cli, see
from striate.errors import ArgumentError
from striate.runs import checkpoint
from striate.see import paint


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
