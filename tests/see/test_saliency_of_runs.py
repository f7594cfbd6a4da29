"""Saliency of a run, in Python and from the command line: its classes, its own pictures, tests that stay with it."""

import json
from typing import Any

import pytest
import torch
from PIL import Image

import striate
from striate import cli
from striate.see import field, saliency
from striate.see.attribution.section import worst_section


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return striate.train("digits", net="lenet5", epochs=1, batch=64, out=out, plan="default")


@pytest.fixture
def files(tmp_path):
    for i in range(2):
        pixels = torch.randint(0, 255, (40, 30), generator=torch.Generator().manual_seed(i))
        Image.fromarray(pixels.byte().numpy()).save(tmp_path / f"{i}.png")
    return [str(tmp_path / f"{i}.png") for i in range(2)]


def said(capsys, *words):
    code = cli.main([str(word) for word in words])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_a_run_names_its_classes_and_keeps_its_tests(run, files, tmp_path, capsys):
    out = [tmp_path / "map.png", tmp_path / "map.html"]
    words = ["--target", "7", "--check", "--json", *[w for path in out for w in ("--out", path)]]
    code, text, err = said(capsys, "see", "saliency", run.path, *files, *words)
    assert code == 0, err
    document = json.loads(text)
    assert [row["of"] for row in document["explained"]] == ["score of 7"] * 2
    assert document["what"] == "saliency"
    assert document["layer"] == "act2"
    assert document["items"] == files
    kept = json.loads((run.path / "see" / "saliency-grad-cam-act2.json").read_text())
    assert kept["tests"] == document["tests"]
    assert kept["tests"]["items"] == 2
    with Image.open(out[0]) as drawn:
        assert drawn.size[0] > 600
    assert "grad-cam of" in out[1].read_text()


def test_tests_that_cannot_be_kept_are_still_shown(run):
    (run.path / "see").rename(run.path / "elsewhere") if (run.path / "see").exists() else None
    (run.path / "see").write_text("a file")
    found = saliency(run, torch.zeros(1, 1, 28, 28) + 0.1, check=True)
    (run.path / "see").unlink()
    assert found.checks is not None
    assert "these tests are not kept" in found.as_text()


def test_a_class_that_is_not_there_is_one_line(run, files, capsys):
    code, text, err = said(capsys, "see", "saliency", run.path, *files, "--target", "cat")
    assert (code, text) == (2, "")
    assert err.startswith("striate: target=cat: no such class; ")
    assert err.count("\n") == 1


def test_a_net_that_is_no_run(files, capsys):
    code, text, err = said(
        capsys, "see", "saliency", "lenet5", *files, "--method", "occlusion:7", "--json"
    )
    assert code == 0
    assert "random" in err
    document = json.loads(text)
    assert document["resolution"]["reads"] == [7, 7]
    assert "score of class" in document["explained"][0]["of"]


def test_several_layers_of_a_field(run, files, tmp_path, capsys):
    out = tmp_path / "field.html"
    words = ["--layer", "conv1", "--layer", "conv2", "--at", "2,3", "--out", out]
    code, text, err = said(capsys, "see", "field", run.path, *files, *words)
    assert code == 0, err
    assert [line.split()[:2] for line in text.splitlines()[3:]] == [
        ["conv1", "2,3"],
        ["conv2", "2,3"],
    ]
    assert out.read_text().count("<svg") == 2


def test_the_caller_gets_the_same_from_a_run_and_its_net(run):
    x = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    one, other = saliency(run, x), saliency(run.net, x)
    assert (one.values == other.values).all()
    assert one.words != other.words
    assert field(run.net, x).units[-1].layer == "act2"


def test_the_section_of_the_worst_items(run):
    opened = striate.open("digits")
    held = run.held(opened, "val")
    made: Any = worst_section(run, held, count=3)
    *galleries, notes = made.parts
    worst = sorted(range(len(held.rows)), key=lambda i: -float(held.rows[i]["loss"]))[:3]
    assert [gallery.title for gallery in galleries] == [held.names[i] for i in worst]
    assert all(len(gallery.tiles) == 3 for gallery in galleries)
    assert galleries[0].lines[0].startswith("score of ")
    assert "cells" in notes.words
