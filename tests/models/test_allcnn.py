"""All-CNN-C against table 1 of the paper: layers, counts, no pooling, a plain reference."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

import striate
from striate.errors import ShapeError
from striate.models.catalog import build, entry

# Maps, kernel, stride, padding, side of the maps: the last mean is over 6x6, so conv7 is not padded.
TABLE = [
    (96, 3, 1, 1, 32),
    (96, 3, 1, 1, 32),
    (96, 3, 2, 1, 16),
    (192, 3, 1, 1, 16),
    (192, 3, 1, 1, 16),
    (192, 3, 2, 1, 8),
    (192, 3, 1, 0, 6),
    (192, 1, 1, 0, 6),
    (10, 1, 1, 0, 6),
]


def meta(**settings):
    with torch.device("meta"):
        return build("allcnn_cifar", init=False, **settings)


def test_table_1_row_by_row():
    net = meta()
    sheet = striate.measure(net, (3, 32, 32)).layers
    convs = [layer for layer in sheet if "conv2d" in layer.op]
    inputs, params, macs = 3, 0, 0
    for number, (row, conv) in enumerate(zip(TABLE, convs, strict=True), start=1):
        (maps, kernel), side = row[:2], row[-1]
        assert conv.path.split(".")[1] == f"conv{number}"
        assert conv.output == (maps, side, side)
        module: Any = net.get_submodule(conv.path)
        assert (module.kernel_size[0], module.stride[0], module.padding[0]) == row[1:4]
        params += maps * (inputs * kernel**2 + 1)
        macs += side**2 * maps * inputs * kernel**2
        inputs = maps
    row = entry("allcnn_cifar")
    assert (row.params, row.macs) == (params, macs)
    assert round(params, -5) == row.published.params  # the paper prints about 1.4 million


def test_nothing_pools():
    assert not [module for module in meta().modules() if "Pool" in type(module).__name__]


def test_dropout_of_the_picture_and_behind_what_replaces_pooling():
    rates = {path: m.p for path, m in meta().named_modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {"features.drop": 0.2, "features.drop3": 0.5, "features.drop6": 0.5}


@pytest.mark.parametrize("size", [(32, 32), (17, 26)])
def test_it_computes_what_the_paper_says(size):
    generator = torch.Generator().manual_seed(2)
    net = build("allcnn_cifar", size=size, width=0.25, generator=generator).double().eval()
    for tensor in net.state_dict().values():
        if tensor.ndim == 1:
            tensor.uniform_(0, 0.1, generator=generator)
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=generator)
    left, y = iter(net.state_dict().values()), x
    for _, _, stride, padding, _ in TABLE:
        y = F.relu(F.conv2d(y, next(left), next(left), stride, padding))
    with torch.no_grad():
        assert net(x).any()
        torch.testing.assert_close(net(x), y.mean((2, 3)))


def test_the_least_picture_fits_and_the_next_smaller_is_refused():
    assert build("allcnn_cifar", size=9).eval()(torch.zeros(1, 3, 9, 9)).shape == (1, 10)
    with pytest.raises(ShapeError) as error:
        build("allcnn_cifar", size=8)
    assert str(error.value) == (
        "allcnn_cifar: conv7 needs pictures of at least 9x9; got 8x8; enlarge them with size=9"
    )
