"""The page of one number: what it reads and where it stands are marked where they are."""

import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from striate.measuring import explain
from striate.models.catalog import build
from striate.workbench.arithmetic_page import field_of, page, region

SVG = "{http://www.w3.org/2000/svg}"


def lenet():
    net = build("lenet5")
    return net, torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("at", [(3, 0, 0), (3, 2, 1), (0, 9, 9)])
def test_what_a_number_reads_is_where_its_gradient_is(at):
    net, x = lenet()
    told = explain(net, x, layer="conv2", at=at)
    field = field_of(net, x, told)
    assert field is not None
    left, top, wide, high = region(field, at, (28, 28)) or (0, 0, 0, 0)
    x.requires_grad_()
    first, second = net.get_submodule("conv1"), net.get_submodule("conv2")
    # Of no dead ends: every pixel that is read has a gradient.
    features = nn.Sequential(first, nn.Softplus(), nn.AvgPool2d(2), second)
    (grad,) = torch.autograd.grad(features(x)[(0, *at)], x)
    rows, columns = (grad[0, 0].abs().sum(1 - axis).nonzero().flatten().tolist() for axis in (0, 1))
    assert (top, top + high) == (rows[0], rows[-1] + 1)
    assert (left, left + wide) == (columns[0], columns[-1] + 1)


def figures(text):
    """The drawings of a page."""
    return [ET.fromstring(f"<svg{part.partition('</svg>')[0]}</svg>") for part in text.split("<svg")[1:]]  # noqa: S314 - ours  # fmt: skip


def marks(figure):
    return [r.attrib for r in figure.iter(f"{SVG}rect") if r.get("class") == "mark"]


def test_the_place_is_marked_on_the_picture_and_on_the_map():
    net, x = lenet()
    told = explain(net, x, layer="conv2", at=(3, 2, 1))
    text = page("a<b", net, x, told)
    assert "<title>a&lt;b</title>" in text
    picture, plane = figures(text)
    (field,) = marks(picture)
    unit = 320 / 28
    spans = [float(field[key]) / unit for key in ("x", "y", "width", "height")]
    assert spans == pytest.approx(region(field_of(net, x, told), (3, 2, 1), (28, 28)), abs=0.01)  # type: ignore[arg-type]
    (cell,) = marks(plane)
    assert [float(cell[key]) for key in ("x", "y", "width")] == pytest.approx([32, 64, 32])
    assert all(figure.get("aria-label") for figure in (picture, plane))
    assert "of this picture of 28x28" in text


def test_a_way_ends_on_a_marked_pixel():
    net, x = lenet()
    walk = explain(net, x, layer="conv2", at=(3, 2, 1)).walk()
    assert walk.pixel is not None
    assert walk.end.startswith(f"input {','.join(map(str, walk.pixel))} = ")
    picture, _ = figures(page("way", net, x, walk))
    _, pixel = marks(picture)
    assert float(pixel["x"]) == pytest.approx(walk.pixel[2] * 320 / 28, abs=0.1)


def test_a_number_without_a_place_reads_the_whole_picture():
    net, x = lenet()
    (picture,) = figures(page("fc", net, x, explain(net, x, layer="fc3", at=(3,))))
    assert [float(marks(picture)[0][key]) for key in ("x", "y", "width", "height")] == [0, 0, 320, 320]  # fmt: skip


def test_what_lies_in_the_padding_is_said():
    net = nn.Sequential(nn.Conv2d(1, 1, 1, padding=3))
    x = torch.rand(1, 1, 8, 8)
    text = page("pad", net, x, explain(net, x, layer="0", at=(0, 0, 0)))
    assert "lies beside the picture" in text
    assert not marks(figures(text)[0])
