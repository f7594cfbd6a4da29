"""Weights by one word, and what a net of the user's own says of its pictures."""

import numpy as np
import pytest
from PIL import Image
from torch import nn

import striate
from striate.errors import ArgumentError, DataError, RecipeError, UsageError
from striate.training import Progress, fit, pretrained, read_recipe
from striate.training.defaults import with_defaults
from striate.training.recipe import NAMED
from striate.weights import PUBLISHED, published


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of ten colour pictures, large enough to be photos."""
    root = tmp_path_factory.mktemp("data") / "photos"
    draw = np.random.default_rng(0)
    for label in ("red", "blue"):
        (root / label).mkdir(parents=True)
        for i in range(10):
            pixels = draw.integers(0, 255, (80, 96, 3), np.uint8)
            Image.fromarray(pixels).save(root / label / f"{i}.png")
    return striate.open(root)


def settled(data, own_net=None, **settings):
    said: list[str] = []
    recipe = read_recipe("quick", settings)
    return pretrained.settled(recipe, data, own_net, said.append), said


@pytest.mark.parametrize(
    ("net", "weights"),
    [
        ("resnet50", "torchvision/resnet50.IMAGENET1K_V2"),  # of two the more accurate
        ("resnet18", "torchvision/resnet18.IMAGENET1K_V1"),
        ("xception", "timm/xception.tf_in1k"),
        ("fcn_resnet50", "torchvision/fcn_resnet50.COCO_WITH_VOC_LABELS_V1"),
    ],
)
def test_published_names_the_best_weights_of_the_net(photos, net, weights):
    recipe, said = settled(photos, net=net, weights="published")
    assert (recipe.net, recipe.weights) == (net, weights)
    assert recipe.size == {"xception": (299, 299), "fcn_resnet50": None}.get(net, (224, 224))
    (line,) = said
    assert line.startswith(f"weights: {weights}")
    top1 = PUBLISHED[weights].top1
    assert (f"({top1 or 0:.1f} % of ImageNet, as published)" in line) is bool(top1)


def test_without_a_net_it_is_one_that_has_weights(photos):
    recipe, _ = settled(photos, weights="published")
    assert recipe.net is not None
    assert published.best(recipe.net) == recipe.weights


def test_what_stands_on_a_backbone_takes_the_weights_of_that(photos):
    recipe, _ = settled(photos, net="unet", backbone="resnet34", weights="published")
    assert recipe.weights == "torchvision/resnet34.IMAGENET1K_V1"


@pytest.mark.parametrize(
    ("settings", "own", "words"),
    [
        ({"net": "lenet5", "weights": "published"}, False, "weights=published: none are known for"),
        ({"weights": "own"}, False, "weights=own is for a net of your own that brings"),
        ({"weights": "published"}, True, "weights=published: a net of your own has none"),
    ],
)
def test_a_word_that_does_not_go_with_the_net_is_refused(photos, settings, own, words):
    with pytest.raises((ArgumentError, RecipeError)) as error:
        settled(photos, nn.Linear(2, 2) if own else None, **settings)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "weights", ["published", "own", "torchvision/resnet18.IMAGENET1K_V1", "timm/resnet18"]
)
def test_what_learned_elsewhere_is_fine_tuned_where_no_recipe_is_named(weights):
    recipe = read_recipe("quick", {"weights": weights, "lr": 0.01})
    rest = {key: value for key, value in NAMED["finetune"].settings.items() if key != "lr"}
    assert {key: getattr(recipe, key) for key in rest} == rest
    assert recipe.lr == 0.01
    assert read_recipe("lecture", {"weights": weights}).linear_probe == "none"
    assert read_recipe("quick", {"weights": "runs/classify/x"}).linear_probe == "none"


def test_photos_from_random_weights_are_told_of_published_ones(photos, shapes):
    def line(data, **settings):
        return pretrained.hint(with_defaults(read_recipe("quick", settings), data), data)

    assert line(photos, net="resnet18") == (
        "resnet18 starts from random weights: weights=published starts from torchvision/resnet18.IMAGENET1K_V1 (69.8 % "
        "of ImageNet, as published), which few photos need; it is downloaded once"
    )
    assert not line(photos, net="resnet18", weights="torchvision/resnet18.IMAGENET1K_V1")
    assert line(photos, net="resnet18", width=0.5)
    assert not line(photos, net="resnet18", color="grey")
    assert not line(photos, net="resnet20_cifar")
    assert not line(striate.open(shapes), net="resnet18", color="rgb")


class Own(nn.Module):
    pass


def own(**attributes):
    net = Own()
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


LEVELS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}


def test_a_net_of_ones_own_says_how_its_pictures_were_prepared(photos):
    known = pretrained.of_module(own(pretrained_cfg={**LEVELS, "input_size": (3, 160, 192)}))
    assert known is not None
    assert known.mean == LEVELS["mean"]
    assert (known.source, known.size) == ("Own.pretrained_cfg", (160, 192))
    assert pretrained.of_module(own(default_cfg=LEVELS)) is not None
    assert pretrained.of_module(own(default_cfg="other")) is None
    assert pretrained.of_module(own()) is None
    net = own(pretrained_cfg={**LEVELS, "input_size": (3, 160, 192)})
    assert settled(photos, net, weights="own")[0].size == (160, 192)
    assert settled(photos, net)[0].size is None  # from random weights small pictures stay small


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": (127, 127, 127), "std": (128, 128, 128)},  # of 0..255
        {"mean": (0.5,), "std": (0.5, 0.5)},
        {"mean": (0.5,), "std": (0.0,)},
        {"mean": 0.5, "std": 0.5},
        {"mean": (), "std": ()},
    ],
)
def test_levels_that_cannot_be_are_refused(wrong):
    with pytest.raises(UsageError, match=r"^Own\.pretrained_cfg (has mean|is)"):
        pretrained.of_module(own(pretrained_cfg=wrong))


def test_pictures_of_one_pixel_are_refused_and_few_held_out_ones_said(photos, tmp_path):
    for label in ("a", "b"):
        (tmp_path / "dots" / label).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (1, 1), (i, 0, 0)).save(tmp_path / "dots" / label / f"{i}.png")
    said: list[str] = []
    with pytest.raises(DataError, match="every picture is a single pixel"):
        fit(striate.open(tmp_path / "dots"), read_recipe("quick"), out=tmp_path)
    recipe = read_recipe("quick", {"device": "cuda:99", "net": "linear"})
    with pytest.raises(UsageError):  # after the note: no such device
        fit(photos, recipe, out=tmp_path, progress=Progress(say=said.append))
    assert said[0].startswith("note: nothing can be judged by 4 held-out pictures")


@pytest.mark.parametrize(("count", "refused"), [(9, True), (10, False)])
def test_fewer_than_ten_items_are_refused_in_a_line(tmp_path, count, refused):
    x = np.random.default_rng(0).integers(0, 256, (count, 12, 12), np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.arange(count) % 2)
    recipe = read_recipe("quick", {"device": "cuda:99", "net": "linear"})
    expected = (
        (
            DataError,
            r"few\.npz has 9 pictures in all, too few to learn from and to judge by: expected 10 or more$",
        )
        if refused
        else (UsageError, "cuda:99")  # after the items are counted: no such device
    )
    with pytest.raises(expected[0], match=expected[1]):
        fit(striate.open(tmp_path / "few.npz"), recipe, out=tmp_path)
