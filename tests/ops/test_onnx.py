"""All single-node cases of the ONNX standard for our operations, through a table of handlers."""

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from striate import shapes
from striate.ops import conv, norm, pool, transposed, unpool

onnx = pytest.importorskip("onnx", reason="the cases come with the package onnx")

Handler = Callable[..., torch.Tensor | tuple[torch.Tensor, ...]]
WORDS = {"SAME_UPPER": "same_upper", "SAME_LOWER": "same_lower", "VALID": "valid"}


MODULES = [
    *["averagepool", "batch_normalization", "conv", "convtranspose", "globalaveragepool"],
    *["globalmaxpool", "lppool", "lrn", "maxpool", "maxunpool"],
]


@cache
def cases(module):
    """What `onnx.backend.test.loader.load_model_tests(kind="node")` has of one module, of the node types in the table.

    That builds all 1,900 cases, which takes seconds; importing a module builds its own, within the test that asks.
    """
    from onnx.backend.test.case.node import _NodeTestCases

    before = len(_NodeTestCases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"onnx.backend.test.case.node.{module}")
    return [
        case
        for case in _NodeTestCases[before:]
        if len(case.model.graph.node) == 1 and case.model.graph.node[0].op_type in HANDLERS
    ]


def padding(attributes: dict[str, Any]) -> Any:
    """`pads` are begin ... end; `auto_pad` is a word."""
    word = attributes.get("auto_pad", b"NOTSET").decode()
    if word in WORDS:
        return WORDS[word]
    pads = attributes.get("pads", [0])
    half = len(pads) // 2
    return tuple(zip(pads[:half], pads[half:], strict=True)) if half else 0


def window(attributes: dict[str, Any]) -> dict[str, Any]:
    """What all pooling has in common; strides are 1 unless given."""
    return {
        "kernel_size": attributes["kernel_shape"],
        "stride": attributes.get("strides", 1),
        "padding": padding(attributes),
        "dilation": attributes.get("dilations", 1),
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }


def run_conv(attributes, x, w, b=None):
    return conv.conv(
        x,
        w,
        b,
        stride=attributes.get("strides", 1),
        padding=padding(attributes),
        dilation=attributes.get("dilations", 1),
        groups=attributes.get("group", 1),
    )


def run_conv_transpose(attributes, x, w, b=None):
    args: dict[str, Any] = {
        "stride": attributes.get("strides", 1),
        "groups": attributes.get("group", 1),
        "dilation": attributes.get("dilations", 1),
    }
    if "output_shape" in attributes:
        return transposed.conv_transpose_to(x, w, b, output_size=attributes["output_shape"], **args)
    args["output_padding"] = attributes.get("output_padding", 0)
    return transposed.conv_transpose(x, w, b, padding=padding(attributes), **args)


def run_max_pool(attributes, x):
    values, places = pool.max_pool_with_indices(x, **window(attributes))
    if attributes.get("storage_order", 0):
        size = x.shape[2:]
        at = np.unravel_index(places.numpy(), size)
        places = torch.from_numpy(np.ravel_multi_index(at, size, order="F"))
    # Places count through all items and channels.
    maps = torch.arange(x.shape[0] * x.shape[1]).view(*x.shape[:2], *(1,) * (x.ndim - 2))
    return values, places + maps * x[0, 0].numel()


def run_average_pool(attributes, x):
    counted = bool(attributes.get("count_include_pad", 0))
    return pool.avg_pool(x, count_include_pad=counted, **window(attributes))


def run_max_unpool(attributes, x, places, size=None):
    """Places refer to the size before; a larger one is filled up with zeros."""
    args = {"kernel_size": attributes["kernel_shape"], "stride": attributes.get("strides", 1)}
    cells = [
        shapes.in_size(n, kernel=k, stride=s)
        for n, k, s in zip(x.shape[2:], args["kernel_size"], args["stride"], strict=True)
    ]
    y = unpool.max_unpool(x, places % int(np.prod(cells)), **args)
    more = [0, 0] if size is None else (size[2:] - torch.tensor(y.shape[2:])).tolist()
    return torch.nn.functional.pad(y, [0, more[1], 0, more[0]])


def run_lrn(attributes, x):
    names = {"alpha": "alpha", "beta": "beta", "bias": "k", "size": "size"}
    return norm.local_response_norm(x, **{names[k]: v for k, v in attributes.items()})


def run_batch_norm(attributes, x, scale, bias, mean, var):
    training = bool(attributes.get("training_mode", 0))
    eps, decay = attributes.get("epsilon", 1e-5), attributes.get("momentum", 0.9)
    mean, var = mean.clone(), var.clone()
    y = norm.batch_norm_decay(x, mean, var, scale, bias, training=training, decay=decay, eps=eps)
    return (y, mean, var) if training else y


HANDLERS: dict[str, Handler] = {
    "Conv": run_conv,
    "ConvTranspose": run_conv_transpose,
    "MaxPool": run_max_pool,
    "AveragePool": run_average_pool,
    "LpPool": lambda a, x: pool.lp_pool(x, norm_type=a.get("p", 2), **window(a)),
    "MaxUnpool": run_max_unpool,
    "LRN": run_lrn,
    "GlobalAveragePool": lambda _, x: pool.global_avg_pool(x),
    "GlobalMaxPool": lambda _, x: pool.global_max_pool(x),
    "GlobalLpPool": lambda a, x: pool.global_lp_pool(x, norm_type=a.get("p", 2)),
    "BatchNormalization": run_batch_norm,
}


@pytest.mark.slow
def test_no_case_is_missing():
    found = [case for module in MODULES for case in cases(module)]
    assert len({case.name for case in found}) == len(found) >= 76
    kinds = {case.model.graph.node[0].op_type for case in found}
    assert kinds >= set(HANDLERS) - {"GlobalLpPool"}


@pytest.mark.parametrize("module", MODULES)
def test_cases(module):
    for case in cases(module):
        node = case.model.graph.node[0]
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for inputs, outputs in case.data_sets:
            tensors = [torch.from_numpy(np.array(array)) for array in inputs]
            answers = HANDLERS[node.op_type](attributes, *tensors)
            compare(case, answers if isinstance(answers, tuple) else (answers,), outputs)


def compare(case, answers, outputs):
    for answer, output in zip(answers, outputs, strict=False):
        torch.testing.assert_close(
            answer,
            torch.from_numpy(output),
            rtol=case.rtol,
            atol=max(case.atol, 1e-6),
            msg=lambda message: f"{case.name}: {message}",
        )
