"""Net, size and epochs follow from the data and the time."""

import numpy as np
import pytest
import torch

import striate
from striate import plan
from striate.inputs import default_net
from striate.inputs.default_net import (
    EPOCHS,
    FORMS,
    MOST,
    SMALL,
    Fingerprint,
    chosen,
    of_spectra,
)
from striate.models import catalog
from striate.plan import machine_speed
from striate.training import read_recipe
from striate.training.defaults import with_defaults

SPEED = 3e10


def of(items, side, *, color="rgb", seconds=600.0, speed=SPEED, same=True):
    return Fingerprint(items, (side, side), same, color, seconds, speed)


@pytest.mark.parametrize(
    ("data", "net", "size", "width"),
    [
        (of(1437, 8, color="grey"), "lenet5", 8, 1.0),
        (of(60_000, 28, color="grey"), "lenet5", 28, 1.0),
        (of(1_000, 28, color="grey"), "resnet20_cifar", 28, 1.0),
        (of(1_000, 28, color="grey", seconds=30), "lenet5", 28, 1.0),
        (of(2_750, 28), "resnet20_cifar", 28, 1.0),
        (of(50_000, 32), "resnet20_cifar", 32, 1.0),
        (of(50_000, 32, seconds=1800, speed=1.3e11), "resnet20_cifar", 32, 2.0),
        (of(2_000, 32, seconds=1800, speed=1.3e11), "resnet20_cifar", 32, 1.0),
        (of(50_000, 40, seconds=1800, speed=1.3e11, color="grey"), "resnet20_cifar", 40, 1.0),
        (of(5_000, 48, color="grey"), "resnet20_cifar", 48, 1.0),
        (of(150, 300), "resnet18", 160, 1.0),
        (of(50, 300), "resnet18", 224, 1.0),
        (of(150, 300, seconds=45), "resnet18", 96, 0.5),
        (of(150, 100), "resnet18", 96, 1.0),
        (of(5_000, 300), "resnet18", 64, 0.5),
        (of(50_000, 300, speed=3e13), "resnet18", 224, 1.0),
    ],
)
def test_rules(data, net, size, width):
    found = chosen(data)
    assert (found.net, found.size, found.width) == (net, (size, size), width)


@pytest.mark.parametrize(
    ("items", "size", "budget", "net", "width", "epochs"),
    [
        (1_600, (64, 251), None, "resnet18", 0.5, range(EPOCHS, MOST + 1)),  # five seconds
        (1_600, (64, 251), 180, "resnet18", 0.25, range(20, 40)),
        (1_000, (40, 51), None, "resnet20_cifar", 0.5, range(MOST, MOST + 1)),  # half a second
        (85_000, (64, 101), None, "resnet18", 0.25, range(4, 10)),
    ],
)
def test_sounds_have_a_net_that_learns_in_the_time_there_is(
    monkeypatch, items, size, budget, net, width, epochs
):
    monkeypatch.setattr(plan, "learning_speed", lambda _device: SPEED)
    recipe = read_recipe("quick", {} if budget is None else {"budget": budget})
    found = of_spectra(items, size, recipe)
    assert (found["net"], found["width"]) == (net, width)
    assert found["epochs"] in epochs
    catalog.build(net, size=size, width=width, in_channels=1, init=False)


@pytest.mark.parametrize("side", [5, 28, 33, 49, 64, 100, 223, 1000])
@pytest.mark.parametrize(("items", "seconds"), [(10, 600.0), (150, 30.0), (100_000, 600.0)])
def test_never_too_much(side, items, seconds):
    data = of(items, side, seconds=seconds)
    found = chosen(data)
    assert max(found.size) <= (side if side <= SMALL else max(side, FORMS[-1][0]))
    catalog.build(found.net, size=found.size, width=found.width, init=False)
    smallest = (found.size[0], found.width) == FORMS[-1]
    assert side <= SMALL or smallest or found.epochs >= EPOCHS
    assert found.epochs <= MOST


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "learning_speed", lambda _device: SPEED)
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 3), np.uint8)
    y = np.arange(40) % 4
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return striate.open(tmp_path / "small.npz")


def test_the_choice_is_said_with_its_reasons(small):
    said = []
    done = with_defaults(read_recipe(), small, say=said.append)
    assert (done.net, done.size, done.epochs) == ("resnet20_cifar", (28, 28), 100)
    (line,) = said
    assert line == (
        "chosen: resnet20_cifar at 28x28, 100 epochs, about 7 s here, for 40 colour pictures of 28x28, 4 classes; "
        "--net, size=, width= and epochs= change it"
    )


@pytest.mark.parametrize(
    ("looks", "width", "augment"),
    [(4_000, 2.0, "crop+flip+color:0.2+erase"), (4_001, 1.0, "flip+translate:0.12+color:0.2")],
)
def test_the_wide_net_has_views_of_its_own(small, monkeypatch, looks, width, augment):
    monkeypatch.setattr(default_net, "LOOKS_OF_WIDE", looks)  # 100 epochs of 40 pictures
    said = []
    done = with_defaults(read_recipe(), small, say=said.append)
    assert (done.width, done.augment) == (width, augment)
    assert ("width 2" in said[0]) is (width == 2)


@pytest.mark.parametrize(
    ("looks", "width", "augment"),
    [
        (4_000, 1, "flip+translate:0.12+color:0.2"),
        (4_000, 0.5, "flip+translate:0.12+color:0.2"),
        (4_001, 2, "crop+flip+color:0.2+erase"),
    ],
)
def test_a_width_that_is_named_decides_on_the_views(small, monkeypatch, looks, width, augment):
    monkeypatch.setattr(default_net, "LOOKS_OF_WIDE", looks)
    done = with_defaults(read_recipe("quick", {"width": width}), small)
    assert (done.net, done.width, done.augment) == ("resnet20_cifar", width, augment)


def test_a_width_that_is_named_decides_on_the_epochs(small, monkeypatch):
    monkeypatch.setattr(plan, "learning_speed", lambda _device: SPEED / 100)
    counts = [
        with_defaults(read_recipe("quick", {"width": w}), small).epochs or 0 for w in (1, 2, 4)
    ]
    assert counts[0] > counts[1] > counts[2] > 0


def test_a_width_that_is_named_decides_on_the_epochs_of_spectra(monkeypatch):
    monkeypatch.setattr(plan, "learning_speed", lambda _device: SPEED)
    found = [
        of_spectra(1_600, (64, 251), read_recipe("quick", {"budget": 180, **named}))
        for named in ({}, {"width": 0.5}, {"width": 1})
    ]
    assert [one["width"] for one in found] == [0.25, 0.5, 1]
    assert found[0]["epochs"] > found[1]["epochs"] > found[2]["epochs"] > 0


@pytest.mark.parametrize("width", [1, 2])
def test_grey_pictures_are_never_mirrored_whatever_the_width(width):
    views = default_net._views("resnet20_cifar", 32, "grey", width=width)
    assert views.startswith("translate")


def test_what_is_said_is_what_is_trained(small):
    said = []
    given = {"size": 16, "epochs": 3, "width": 0.5}
    done = with_defaults(read_recipe("quick", given), small, say=said.append)
    assert (done.size, done.epochs, done.width) == ((16, 16), 3, 0.5)
    assert said[0].startswith(
        "chosen: resnet20_cifar at 16x16, width 0.5, 3 epochs, about 1 s here"
    )


def test_digits_are_said_at_the_size_that_the_net_sees(monkeypatch):
    monkeypatch.setattr(plan, "learning_speed", lambda _device: SPEED)
    said = []
    done = with_defaults(read_recipe(), striate.open("digits"), say=said.append)
    assert done.size == (28, 28)
    assert said[0].startswith("chosen: lenet5 at 28x28, 20 epochs, ")


def test_a_net_that_is_named_is_not_argued_with(small):
    said = []
    done = with_defaults(read_recipe("quick", {"net": "nin_cifar10"}), small, say=said.append)
    assert (done.net, done.epochs, said) == ("nin_cifar10", 20, [])


def test_with_a_budget_the_clock_counts_the_epochs(small):
    said = []
    done = with_defaults(read_recipe("quick", {"budget": "60s"}), small, say=said.append)
    assert (done.epochs, done.budget) == (None, 60)
    assert "about 100 epochs" in said[0]


def test_the_speed_is_that_of_a_convolution():
    found = plan.learning_speed("cpu")
    assert 1e8 < found < 1e13
    assert plan.learning_speed("cpu") == found


@pytest.fixture
def speeds(monkeypatch):
    """The measured speed where single steps of one thread take what is given."""
    threads = torch.get_num_threads()

    def of(steps, count=1):
        seen = []

        def fake(_device, _kind, _batch):
            seen.append(torch.get_num_threads())
            return steps

        monkeypatch.setattr(machine_speed, "_steps", fake)
        torch.set_num_threads(count)
        found = machine_speed.learning_speed.__wrapped__("cpu")
        assert set(seen) == {1}
        assert torch.get_num_threads() == count  # as it was
        return found

    yield of
    torch.set_num_threads(threads)


def test_other_programs_take_nothing_of_the_speed(speeds):
    quiet = speeds([1.0e-3] * 30)
    assert speeds([*[0.12] * 25, 1.0e-3, *[0.03] * 4]) == quiet
    assert speeds([2.0e-3] * 30) == pytest.approx(quiet / 2)  # a slower machine is slower


def test_threads_are_counted(speeds):
    one, two = (speeds([1e-3], count=n) for n in (1, 2))
    assert one < two <= 2 * one * (1 + 1e-6)
