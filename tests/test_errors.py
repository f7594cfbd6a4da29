"""The exit status of every error, and the words that help."""

import pytest
import torch

from striate import errors


def test_exit_statuses():
    expected = {
        "GateError": 1,
        "UsageError": 2,
        "ArgumentError": 2,
        "ShapeError": 2,
        "RecipeError": 2,
        "MissingExtraError": 2,
        "DataError": 3,
        "NumericError": 4,
        "CheckpointError": 5,
        "ServeError": 6,
        "PeerError": 6,
    }
    assert {name: getattr(errors, name).exit_status for name in expected} == expected
    assert errors.Stopped("x", 2).exit_status == 130
    assert errors.Stopped("x", 15).exit_status == 143


def test_nearest_guesses_only_what_is_near():
    assert (
        errors.nearest("lenet", ["lenet5", "mlp"]) == "did you mean lenet5? There are: lenet5, mlp"
    )
    assert errors.nearest("zzz", ["lenet5", "mlp"]) == "there are: lenet5, mlp"
    many = [f"net{i}" for i in range(100)]
    assert errors.nearest("net3x", many).startswith("did you mean net3; also near: net")
    assert errors.nearest("zzz", many) == "it is none of 100"


def test_a_value_is_told_in_one_short_line():
    assert errors.told(list(range(1000))) == str(list(range(1000)))[:120] + "..."
    assert errors.told("a\nb") == "'a\\nb'"
    assert errors.told(torch.ones(())) == "tensor(1.)"
    assert errors.told(torch.ones(2, 3)) == "Tensor [2, 3]"


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("resnet20", "resnet20_cifar"),
        ("densenet", "densenet121"),
        ("unet3d", "unet"),
        ("resnet", "resnet18"),
        ("ResNet18", "resnet18"),
        ("inceptionv3", "inception_v3"),
        ("vgg", "vgg11"),
        ("cifar", "resnet20_cifar"),
        ("resnet81", "resnet18"),
    ],
)
def test_half_a_name_finds_its_relatives(word, first):
    known = [
        "densenet121", "densenet161", "enet", "inception_v3", "inception_v4", "resnet101", "resnet18",
        "resnet20_cifar", "resnet50", "unet", "vgg11", "vgg16", "xception",
    ]  # fmt: skip
    assert errors.nearest(word, known).startswith(f"did you mean {first}?")
    many = [*known, *(f"other{i}" for i in range(30))]
    assert errors.nearest(word, many).startswith(f"did you mean {first}")
