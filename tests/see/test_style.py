"""A painting's style on a photo: what is made small, which layers look, what is refused."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from striate import cli, see
from striate.errors import ArgumentError, DataError
from striate.models import catalog
from striate.see.pictures.maps import stages
from striate.see.pictures.style import SMALLEST


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A photo, a painting of stripes, one of one colour, one of 10x10, and the features of a net."""
    root = tmp_path_factory.mktemp("style")
    rng = np.random.default_rng(0)
    photo = np.full((40, 56, 3), 120, np.uint8)
    photo[10:30, 15:40] = (200, 60, 40)
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[:, ::6] = stripes[:, 1::6] = (30, 220, 90)
    for name, pixels in (
        ("photo", photo),
        ("stripes", stripes),
        ("flat", np.full((40, 40, 3), 77, np.uint8)),
        ("tiny", rng.integers(0, 255, (10, 10, 3), dtype=np.uint8)),
        ("narrow", rng.integers(0, 255, (SMALLEST, 900, 3), dtype=np.uint8)),
    ):
        Image.fromarray(pixels).save(root / f"{name}.png")
    (root / "none.png").write_text("no picture")
    net = catalog.build("vgg11", init=False)
    for p in net.get_submodule("features").parameters():
        torch.nn.init.normal_(p, 0, 0.06, torch.Generator().manual_seed(p.numel()))
    kept = {k: v for k, v in net.state_dict().items() if k.startswith("features")}
    save_file(kept, root / "vgg11.safetensors")
    return root


def drawn(files, painting="stripes", photo="photo", **more):
    settings: dict[str, Any] = {
        "net": "vgg11",
        "weights": str(files / "vgg11.safetensors"),
        "steps": 4,
        "size": 48,
    }
    return see.style(files / f"{photo}.png", files / f"{painting}.png", **{**settings, **more})


def test_every_part_but_the_content_gets_smaller(files):
    found = drawn(files, steps=20)
    kinds = [(part.kind, part.layer) for part in found.parts]
    stages_of_vgg = ["features.1", "features.4", "features.9", "features.14"]
    assert kinds == [("content", "features.9"), *(("style", at) for at in stages_of_vgg)]
    assert found.course[-1] < 0.8 * found.course[0]
    assert len(found.course) == 21
    assert found.parts[0].first == 0
    style = [part for part in found.parts if part.kind == "style"]
    assert sum(part.last for part in style) < sum(part.first for part in style)
    assert sum(part.last for part in found.parts) == pytest.approx(found.course[-1], rel=1e-4)
    assert found.picture().size == (48, 34)
    assert not np.array_equal(found.image, found.photo)


def test_a_page_names_the_pictures_and_has_the_parts_of_the_loss(files):
    page = drawn(files, steps=1)._repr_html_()
    for words in ("the photo", "the painting", "the answer"):
        assert f"<figcaption>{words}</figcaption>" in page
    assert "48 x 34 pixels after 1 step<" in page
    assert page.count("features.9") == 2  # content and style
    assert page.count("<tr>") == 7


def test_without_style_the_photo_stays(files):
    found = drawn(files, style_weight=0.0)
    assert np.array_equal(found.image, found.photo)


@pytest.mark.parametrize(
    ("photo", "painting"), [("flat", "stripes"), ("photo", "flat"), ("flat", "flat")]
)
def test_pictures_of_one_colour_give_numbers(files, photo, painting):
    found = drawn(files, painting, photo)
    assert np.isfinite(found.course).all()
    json.dumps(found.as_dict(), allow_nan=False)


def test_named_layers_and_a_net_of_ones_own(files):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)
    )
    before = {name: p.clone() for name, p in net.state_dict().items()}
    found = drawn(files, net=net, weights="", layers=("3", "1"))
    assert [part.layer for part in found.parts] == ["3", "1"]
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    alone = drawn(files, net=net, weights="")
    assert {part.layer for part in alone.parts} == set(stages(net, torch.zeros(1, 3, 34, 48)))


def test_the_command_writes_the_picture(files, capsys, tmp_path):
    out = tmp_path / "out.png"
    words = ["see", "style", files / "photo.png", files / "stripes.png", "--net", "vgg11"]
    words += [
        "--weights",
        files / "vgg11.safetensors",
        "--size",
        48,
        "--steps",
        2,
        "--out",
        out,
        "--json",
    ]
    assert cli.main([str(word) for word in words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["net"], document["what"], document["size"]) == ("vgg11", "style", [34, 48])
    assert document["items"] == [str(files / "photo.png"), str(files / "stripes.png")]
    with Image.open(out) as picture:
        assert picture.size == (48, 34)


@pytest.mark.parametrize(
    "words", [["--layers", "features.9,features.1, features.4"], ["--layers", "features.9", "--layers", "features.1,features.4"]]
)  # fmt: skip
def test_layers_stand_in_one_word_or_one_by_one(files, words, capsys):
    given = ["see", "style", files / "photo.png", files / "stripes.png", "--net", "vgg11", "--weights", "random"]  # fmt: skip
    assert cli.main([*map(str, given), "--size", "48", "--steps", "1", "--json", *words]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    assert [part["layer"] for part in parts] == ["features.9", "features.1", "features.4"]


@pytest.mark.parametrize(
    ("more", "kind", "says"),
    [
        (
            {"painting": "tiny"},
            DataError,
            "is 10 x 10 pixels: a layer sees a style in what repeats",
        ),
        ({"photo": "tiny"}, DataError, "is 10 x 10 pixels"),
        ({"photo": "narrow"}, DataError, "is too narrow for size=48"),
        ({"photo": "none"}, DataError, "none.png"),
        ({"photo": "nowhere"}, DataError, "nowhere.png"),
        (
            {"weights": ""},
            ArgumentError,
            "vgg11 sees nothing without trained weights: weights=WEIGHTS names a file",
        ),
        ({"weights": "gone.pt"}, ArgumentError, "gone.pt: no such file"),
        ({"net": "vgg12"}, ArgumentError, "no net is called 'vgg12'"),
        ({"net": "tdnn", "weights": "random"}, ArgumentError, "tdnn reads a series"),
        (
            {"layers": ("features.1",)},
            ArgumentError,
            "expected that of the content, and one or more",
        ),
        ({"layers": ("features.1", "top")}, ArgumentError, "the net has no layer 'top'"),
        ({"size": 8}, ArgumentError, "size=8, steps=4: expected a size of 32 or more"),
        ({"steps": 0}, ArgumentError, "steps=0"),
        ({"style_weight": -1.0}, ArgumentError, "style_weight=-1: expected a number from 0 up"),
    ],
)
def test_wrong_words_are_one_line(files, more, kind, says):
    with pytest.raises(kind) as error:
        drawn(files, **more)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
