"""Fine-tuning feeds a net as its first weights expect it, not by the new data's mean."""

import pytest
from PIL import Image
from safetensors.torch import save_file

from striate.inputs import Pictures
from striate.inputs.pictures import in_color
from striate.models import catalog
from striate.training import Progress, prepare, read_recipe
from striate.weights import published
from striate.workbench.train import train_recipe

WEIGHTS = "torchvision/squeezenet1_1.IMAGENET1K_V1"
IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # as the literature prints them


def trained(data, out, **settings):
    said = []
    recipe = read_recipe("quick", {"epochs": 1, "batch": 8, "plan": "default", **settings})
    fitted = train_recipe(data, recipe, out=out, progress=Progress(say=said.append))
    return fitted.run, said


def test_published_weights_say_their_mean():
    known = prepare.expected(WEIGHTS)
    assert known is not None
    assert known.mean == pytest.approx(IMAGENET[0])
    assert known.std == pytest.approx(IMAGENET[1])
    half = prepare.expected("timm/xception.tf_in1k")
    assert half is not None
    assert half.mean == half.std == (127.5,) * 3


def test_between_grey_and_rgb_channels_count_the_same():
    rgb = Pictures((8, 8), (8, 8), "rgb", (1.0, 2.0, 6.0), (2.0, 2.0, 5.0))
    grey = Pictures((8, 8), (8, 8), "grey", (7.0,), (2.0,))
    assert in_color(rgb, "rgb") == ((1, 2, 6), (2, 2, 5))
    assert in_color(rgb, "grey") == ((3.0,), (3.0,))
    assert in_color(grey, "rgb") == ((7.0,) * 3, (2.0,) * 3)
    assert in_color(rgb, "hsv") is None


@pytest.mark.slow
def test_a_run_hands_on_how_it_was_fed(shapes, tmp_path):
    first, said = trained(shapes, tmp_path / "first", net="linear")
    assert not any("normalised" in line for line in said)
    own = first.config.preprocessing
    darker = tmp_path / "darker"
    for file in shapes.glob("*/*.png"):
        (darker / file.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(file).point([value // 3 for value in range(256)]).save(
            darker / file.parent.name / file.name
        )
    second, said = trained(darker, tmp_path / "second", weights=str(first.path))
    assert second.config.preprocessing == own
    words = f"mean {own.mean[0]:.1f}, deviation {own.std[0]:.1f} of 0..255"
    assert f"normalised as for {first.path}: {words}" in said
    file = first.path / "model.safetensors"
    third, said = trained(darker, tmp_path / "third", net="linear", weights=str(file))
    assert third.config.preprocessing.mean[0] < own.mean[0] / 2
    assert any(line.startswith(f"{file} does not say how") for line in said)


@pytest.mark.slow
def test_published_weights_are_fed_as_they_were(shapes, tmp_path, monkeypatch):
    file = tmp_path / "weights.safetensors"
    net = catalog.build("squeezenet1_1", init=True)
    save_file(net.state_dict(), file)
    monkeypatch.setattr(published, "fetch", lambda *_: file)
    run, said = trained(shapes, tmp_path, weights=WEIGHTS, size=40, color="rgb")
    assert run.config.net.name == "squeezenet1_1"
    assert run.config.preprocessing.mean == pytest.approx(IMAGENET[0])
    assert run.config.preprocessing.std == pytest.approx(IMAGENET[1])
    line = (
        f"normalised as for {WEIGHTS}: mean 123.7 116.3 103.5, deviation 58.4 57.1 57.4 of 0..255"
    )
    assert line in said
    _, said = trained(shapes, tmp_path, weights=WEIGHTS, size=40, color="hsv")
    assert f"{WEIGHTS} learned from rgb pictures: hsv is normalised by these data" in said
