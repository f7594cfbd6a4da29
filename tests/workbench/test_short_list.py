"""`striate nets --for DATA`: what fits the time and the pictures, with the reasons, on a machine of known speed."""

import json

import numpy as np
import pytest

import striate
from striate import cli, plan
from striate.data.targets import Boxes
from striate.errors import DataError
from striate.models import catalog
from striate.workbench import short_list
from striate.workbench.short_list import Suggestion


@pytest.fixture
def machine(monkeypatch):
    """A machine of ten thousand million multiply-adds a second, and few nets to choose from."""
    monkeypatch.setattr(plan, "learning_speed", lambda _device: 1e10)
    few = ["linear", "lenet5", "resnet20_cifar", "resnet18", "vgg16"]
    monkeypatch.setattr(catalog, "able", lambda _task, _axes: few)


def test_what_fits_the_time_is_listed_with_its_reasons(machine, shapes):
    found = short_list.short_list(striate.open(shapes), 600)
    names = [each.net for each in found.nets]
    assert "vgg16" not in names or found.nets[names.index("vgg16")].epochs >= 4
    assert all(each.reasons for each in found.nets)
    usual = [each for each in found.nets if each.usual]
    assert len(usual) == 1
    assert "what striate train takes" in " ".join(usual[0].reasons)
    merits = [each.merit for each in found.nets]
    assert merits == sorted(merits, reverse=True)
    assert "not a measurement of accuracy" in found.as_text()


def test_times_follow_from_the_speed(machine, shapes, monkeypatch):
    slow = short_list.short_list(striate.open(shapes), 600).nets
    monkeypatch.setattr(plan, "learning_speed", lambda _device: 2e10)
    fast = {each.net: each for each in short_list.short_list(striate.open(shapes), 600).nets}
    both = [(each, fast[each.net]) for each in slow if each.net in fast]
    assert both
    assert all(a.epoch_seconds == pytest.approx(2 * b.epoch_seconds) for a, b in both)


def test_a_net_that_does_not_fit_the_memory_is_left_out(machine, shapes, monkeypatch):
    from striate.workbench.estimate import FreeMemory

    monkeypatch.setattr(short_list, "free_memory", lambda _device: FreeMemory(1000, "a test"))
    found = short_list.short_list(striate.open(shapes), 600)
    assert not found.nets
    assert found.left_out["too large for the memory"] > 0
    assert "no net fits" in found.as_text()


def test_objects_are_as_large_as_their_boxes(shapes):
    opened = striate.open(shapes)
    about = short_list.Fingerprint(100, (28, 28), True, "grey", 60.0, 1e10)
    assert short_list._object(opened, about) == (
        28.0,
        "no boxes say how large they are: as large as the pictures",
    )
    boxes = Boxes(
        np.array([[0, 0, 4, 9], [0, 0, 6, 6], [0, 0, 30, 30]], np.float32),
        np.zeros(3, np.int64),
        np.zeros(3, np.bool_),
        np.array([0, 2]),
        np.array([2, 3]),
    )
    part = opened.splits["train"].part.take(np.arange(2))
    from dataclasses import replace

    split = replace(opened.splits["train"], part=replace(part, targets=boxes))
    with_boxes = replace(opened, splits={"train": split})
    assert short_list._object(with_boxes, about) == (6.0, "median of 3 boxes")


@pytest.mark.parametrize(
    ("better", "worse"),
    [((1.0, 20, 10), (0.5, 20, 10)), ((1.0, 20, 10), (1.0, 5, 10)), ((1.0, 90, 20), (1.0, 20, 10))],
)
def test_the_order(better, worse):
    def made(sees: float, epochs: int, macs: int) -> Suggestion:
        return Suggestion("a", (8, 8), 1, macs, 8, sees, epochs, 1.0, 1, False)

    assert made(*better).merit > made(*worse).merit


def test_wrong_words(shapes, tmp_path, capsys):
    for words, said in (
        (["nets", "--budget", "5m"], "--budget goes with --for DATA"),
        (["nets", "lenet*", "--for", str(shapes)], "leave lenet* out"),
        (["nets", "--for", str(shapes), "--budget", "soon"], "expected a time such as 90s"),
        (["nets", "--for", str(shapes), "--budget", "0"], "expected a time above 0"),
        (["nets", "--for", str(tmp_path / "no")], "there is no"),
    ):
        assert cli.main(words) in (2, 3)
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_json(machine, shapes, capsys):
    assert cli.main(["nets", "--for", str(shapes), "--budget", "2m", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["seconds"] == 105  # less imports, reading and the report
    keys = {"net", "size", "params", "macs", "field", "sees", "epochs", "epoch_seconds", "memory"}
    assert all(keys <= set(row) for row in document["nets"])


def test_items_that_are_no_pictures(machine, shapes):
    class Sounds:
        path, pictures, noun = "here", False, "sounds"

    with pytest.raises(DataError, match="holds sounds: nets are listed for pictures"):
        short_list.short_list(Sounds(), 60)  # pyright: ignore[reportArgumentType]
