"""Inputs of any kind: by position and by name, tensors in lists and dictionaries, numbers, words, None, types."""

import json
import sys

import pytest
import torch
from torch import nn

from striate import cli
from striate.errors import StriateError
from striate.measuring import Sheet, measure


class Masked(nn.Module):
    """A picture, and by name alone a mask, steps and a word."""

    def __init__(self):
        super().__init__()
        self.conv, self.time = nn.Conv2d(3, 4, 3, padding=1), nn.Embedding(10, 4)

    def forward(self, image, *, mask, t=None, mode="slow"):
        y = self.conv(image).masked_fill(mask, 0.0)
        if t is not None:
            y = y + self.time(t).view(-1, 4, 1, 1)
        return y if mode == "slow" else y.relu()


class OfDictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, batch, scale=1.0):
        return self.conv(batch["image"]) * batch["mask"] * scale


class OfList(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images, extra=None):
        if extra is not None:
            raise ValueError("nothing else is taken")
        return [self.conv(image) for image in images]


MACS = 8 * 8 * 4 * 27


@pytest.mark.parametrize(
    ("net", "given", "shapes"),
    [
        (Masked, {"image": (3, 8, 8), "mask": "bool:1x8x8"}, ((3, 8, 8), (1, 8, 8))),
        (Masked, {"mask": "bool:1x8x8", "image": "3x8x8"}, ((1, 8, 8), (3, 8, 8))),
        (Masked, [(3, 8, 8), {"mask": torch.zeros(5, 1, 8, 8).bool()}], ((3, 8, 8), (1, 8, 8))),
        (
            Masked,
            {"image": (3, 8, 8), "mask": "bool:1x8x8", "t": "int:1", "mode": "fast"},
            ((3, 8, 8), (1, 8, 8), (1,)),
        ),
        (
            Masked,
            {"image": (3, 8, 8), "mask": "bool:1x8x8", "t": torch.zeros(2).long()},
            ((3, 8, 8), (1, 8, 8), ()),
        ),
        (Masked, {"image": (3, 8, 8), "mask": "bool:1x8x8", "t": None}, ((3, 8, 8), (1, 8, 8))),
        (OfDictionary, {"image": (3, 8, 8), "mask": (1, 8, 8)}, ((3, 8, 8), (1, 8, 8))),
        (OfDictionary, [{"image": (3, 8, 8), "mask": 2}, 0.5], ((3, 8, 8),)),
        (OfList, [[(3, 8, 4), (3, 8, 4)]], ((3, 8, 4), (3, 8, 4))),
        (OfList, [["3x8x4", torch.zeros(1, 3, 8, 4)], None], ((3, 8, 4), (3, 8, 4))),
    ],
)
def test_what_is_given_reaches_the_net(net, given, shapes):
    sheet = measure(net(), given)
    assert sheet.unfinished is None
    assert (sheet.inputs, sheet.totals.macs) == (shapes, MACS)
    assert "gradient" not in {finding.kind for finding in sheet.findings}


@pytest.mark.parametrize(
    ("net", "given", "said"),
    [
        (Masked, (3, 8, 8), "required keyword-only argument: 'mask'; got 1 input: give it by name"),
        (Masked, {"image": (3, 8, 8), "masc": (1, 8, 8)}, "forward has no argument 'masc'; did you mean mask?"),
        (Masked, {"image": (3, 8, 8), "mask": "bol:1x8x8"}, "'bol' is no type; write int, bool or float"),
        (Masked, {"image": (3, 8, 8), "mask": "1x8xx8"}, "an input is written like 3x224x224"),
        (Masked, 5, "got int for a shape"),
        (Masked, (3, 8.0, 8), "the sides of an input are whole numbers; got (3, 8.0, 8)"),
        (Masked, {(3, 8)}, "got set for a shape"),
        (Masked, [(3, 0, 8)], "every side of an input is at least 1; got 3x0x8"),
        (Masked, "picture:3x8x8", "'picture' is no type"),
        (OfDictionary, [{"image": {1, 2}}], "a set has no order: give a list"),
    ],
)  # fmt: skip
def test_what_is_no_input_is_said_in_a_line_that_is_true_for_it(net, given, said):
    with pytest.raises(StriateError) as caught:
        measure(net(), given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


MODULE = """
import torch
from torch import nn

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, *, mask, t=None, mode="slow", rate=1):
        y = self.conv(image).masked_fill(mask, 0.0) * rate
        if t is not None:
            assert not t.is_floating_point()
            y = y * t
        assert mode in ("slow", "fast")
        return y

class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images):
        return [self.conv(image) for image in images]
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """`striate measure` in a folder with a module of nets: exit status, standard output and standard error."""
    (tmp_path / "my_masked_net.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_masked_net", raising=False)

    def measured(*words):
        code = cli.main(["measure", *words])
        return code, *capsys.readouterr()

    return measured


INPUTS = ("--input", "image=3x8x8", "--input", "mask=bool:1x8x8")


@pytest.mark.parametrize(
    "more",
    [
        (), ("--input", "t=int:1"), ("--input", "mode=text:fast"), ("--input", "rate=number:0.5"),
        ("--input", "t=none:"), ("--training", "--batch", "2"),
    ],
)  # fmt: skip
def test_the_command_line_takes_names_and_types(run, more):
    code, out, err = run("my_masked_net:Masked", *INPUTS, *more, "--json")
    assert code == 0, err
    sheet = json.loads(out)
    assert sheet["totals"]["macs"] == MACS
    assert sheet["inputs"][:2] == [[3, 8, 8], [1, 8, 8]]


def test_a_name_that_comes_again_makes_a_list(run):
    words = ("--input", "images=3x8x4", "--input", "images=3x8x4")
    assert json.loads(run("my_masked_net:Listed", *words, "--json")[1])["totals"]["macs"] == MACS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lenet5", "--input", "x=1x32x32"), "lenet5 reads one input; got --input x=1x32x32"),
        (("lenet5", "--input", "bool:1x32x32"), "lenet5 reads one input; got --input bool:1x32x32"),
        (("my_masked_net:Masked", *INPUTS[:2], "--input", "1x8x8"), "give every --input a name, or none"),
        (("my_masked_net:Masked", *INPUTS[:2], "--input", "mask=odd:1x8x8"), "'odd' is no type"),
        (("my_masked_net:Masked", *INPUTS[:2], "--input", "rate=number:x"), "'x' is no number"),
        (("my_masked_net:Masked", *INPUTS[:2]), "required keyword-only argument: 'mask'"),
    ],
)  # fmt: skip
def test_wrong_words_on_the_command_line_end_in_one_line(run, words, said):
    code, _, err = run(*words)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_pictures_in_a_list_need_no_batch_axis():
    class Pictures(OfList):
        def forward(self, images, extra=None):
            assert all(image.ndim == 3 for image in images)
            return super().forward([image[None] for image in images], extra)

    sheet = measure(Pictures(), [[torch.zeros(3, 8, 4), torch.zeros(3, 8, 4)]])
    assert (sheet.totals.macs, sheet.unfinished) == (MACS, None)


def test_a_sheet_has_the_shapes_of_all_its_tensors():
    assert isinstance(
        sheet := measure(OfDictionary(), {"image": (3, 8, 8), "mask": (1, 8, 8)}), Sheet
    )
    assert str(sheet).startswith("OfDictionary, input 3x8x8, 1x8x8")
