"""Arguments are found however they are given: every operation of the table, by the schemas of PyTorch itself."""

import functools
import inspect
import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.measuring import measure
from striate.measuring.operations import OPERATIONS
from striate.probe import Value, trace
from striate.probe.calls import bind

PLACEHOLDERS = {
    "int": 1,
    "float": 0.5,
    "number": 1,
    "bool": True,
    "str": "nearest",
    "List[int]": [1, 1],
    "List[float]": [0.5],
}


def sample(declared, index):
    """Something of the type that a schema declares; None where nothing simple is."""
    kind = (
        declared.removeprefix("Optional[").removesuffix("]")
        if declared.startswith("Optional")
        else declared
    )
    tensor = Value(index, (2, 3), torch.float32, live=True)
    return (
        tensor
        if kind == "Tensor"
        else [tensor]
        if kind == "List[Tensor]"
        else PLACEHOLDERS.get(kind)
    )


def schemas():
    """Every overload of every operation of the table whose arguments are plain: name, positional names, samples."""
    for op in sorted(OPERATIONS):
        packet = getattr(torch.ops.aten, op, None)
        for overload in packet.overloads() if packet else ():
            given = [a for a in getattr(packet, overload)._schema.arguments if not a.kwarg_only]
            samples = [sample(str(a.type), i) for i, a in enumerate(given)]
            tensors = any("Tensor" in str(a.type) for a in given)
            odd = (
                f"{op}.{overload}" in ("view.dtype",) or op == "randint_like"
            )  # overloads no sample tells apart
            if tensors and None not in samples and "out" not in overload and not odd:
                yield pytest.param(op, [a.name for a in given], samples, id=f"{op}.{overload}")


def builtin(op):
    home = next((h for h in (torch, torch.nn.functional, torch.Tensor) if hasattr(h, op)), None)
    found = getattr(home, op, None)
    return None if hasattr(found, "__code__") else found


@pytest.mark.parametrize(("op", "names", "samples"), list(schemas()))
def test_any_split_into_positions_and_names_binds_alike(op, names, samples):
    func = builtin(op)
    if func is None:
        pytest.skip("written in Python: its own signature counts")
    names = ["input" if name == "self" else name for name in names]
    whole = bind(func, op, samples, {})
    for count in range(len(samples)):
        rest = list(zip(names[count:], samples[count:], strict=True))
        for order in (rest, rest[::-1]):
            bound = bind(func, op, samples[:count], dict(order))
            assert list(bound.items()) == list(whole.items()), (count, order)


def written_in_python():
    for op in sorted(OPERATIONS):
        found = getattr(F, op, None) or getattr(torch, op, None)
        code = getattr(inspect.unwrap(found), "__code__", None) if found else None
        if (
            code is not None
            and 0 < code.co_argcount <= 8
            and not code.co_flags & inspect.CO_VARARGS
        ):
            yield op, found


@pytest.mark.parametrize(("op", "func"), list(written_in_python()))
def test_functions_in_python_bind_by_their_own_signature(op, func):
    code = inspect.unwrap(func).__code__
    names = code.co_varnames[: code.co_argcount]
    samples = list(range(len(names)))
    whole = bind(func, op, samples, {})
    assert list(whole.values()) == samples
    for count in range(len(names)):
        rest = dict(reversed(list(zip(names[count:], samples[count:], strict=True))))
        assert list(bind(func, op, samples[:count], rest).items()) == list(whole.items())


class Calls(nn.Module):
    """A function with a weight, called in one way."""

    def __init__(self, way, *shape):
        super().__init__()
        self.way, self.w = way, nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return self.way(x, self.w)


WAYS = {
    "conv2d": ((4, 3, 3, 3), [
        lambda x, w: F.conv2d(x, w, None, 2, 1),
        lambda x, w: F.conv2d(weight=w, input=x, padding=1, stride=2),
        lambda x, w: F.conv2d(x, padding=(1, 1), weight=w, stride=(2, 2)),
        lambda x, w: torch.conv2d(stride=2, weight=w, padding=1, input=x),
    ]),
    "conv_transpose2d": ((3, 4, 2, 2), [
        lambda x, w: F.conv_transpose2d(x, w, None, 2),
        lambda x, w: F.conv_transpose2d(weight=w, stride=2, input=x),
    ]),
    "linear": ((5, 8), [
        F.linear,
        lambda x, w: F.linear(weight=w, input=x),
    ]),
    "matmul": ((8, 5), [
        torch.matmul,
        lambda x, w: torch.matmul(other=w, input=x),
        lambda x, w: x @ w,
        lambda x, w: x.matmul(other=w),
    ]),
    "addmm": ((8, 5), [
        lambda x, w: torch.addmm(w[:1], x[0, 0], w),
        lambda x, w: torch.addmm(mat2=w, mat1=x[0, 0], input=w[:1]),
    ]),
    "layer_norm": ((8,), [
        lambda x, w: F.layer_norm(x, (8,), w),
        lambda x, w: F.layer_norm(weight=w, normalized_shape=(8,), input=x),
    ]),
    "batch_norm": ((3,), [
        lambda x, w: F.batch_norm(x, w.detach(), w.detach(), w, w),
        lambda x, w: F.batch_norm(weight=w, bias=w, running_var=w.detach(), running_mean=w.detach(), input=x),
        lambda x, w: torch.batch_norm(x, w, w, w.detach(), w.detach(), False, 0.1, 1e-5, False),
    ]),
    "sum": ((8,), [
        lambda x, w: (x * w).sum(3),
        lambda x, w: torch.sum(dim=[3], input=x * w),
        lambda x, w: torch.sum(x * w, axis=3),  # pyright: ignore[reportCallIssue]
        lambda x, w: torch.sum(x * w, -1, keepdim=True).squeeze(3),
    ]),
    "max_pool2d": ((8,), [
        lambda x, w: F.max_pool2d(x * w, 3, 2, 1),
        lambda x, w: F.max_pool2d(x * w, stride=2, kernel_size=3, padding=1),
    ]),
    "transpose": ((8,), [
        lambda x, w: (x * w).transpose(1, 3),
        lambda x, w: torch.transpose(dim1=3, dim0=1, input=x * w),
        lambda x, w: (x * w).swapaxes(axis0=1, axis1=3),
        lambda x, w: (x * w).permute(dims=(0, 3, 2, 1)),
        lambda x, w: (x * w).permute(0, 3, 2, 1),
    ]),
    "cat": ((1, 3, 8, 8), [
        lambda x, w: torch.cat([x, w], 2),
        lambda x, w: torch.cat(dim=2, tensors=[x, w]),
        lambda x, w: torch.cat(axis=2, tensors=(x, w)),  # pyright: ignore[reportCallIssue]
    ]),
    "attention": ((1, 3, 8, 8), [
        lambda x, w: F.scaled_dot_product_attention(x, w, w),
        lambda x, w: F.scaled_dot_product_attention(value=w, key=w, query=x),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_every_way_to_call_a_function_counts_and_reads_alike(name):
    shape, ways = WAYS[name]
    sheets = [measure(Calls(way, *shape), (3, 8, 8)) for way in ways]
    for sheet, other in itertools.pairwise(sheets):
        assert sheet.totals.macs == other.totals.macs
        assert sheet.totals.connections == other.totals.connections
        assert (sheet.field, sheet.unread) == (other.field, other.unread)
        assert (sheet.findings, sheet.counts.disagree) == (other.findings, ())


def test_a_convolution_by_name_reads_its_picture():
    sheet = measure(Calls(lambda x, w: F.conv2d(weight=w, input=x), 1, 1, 3, 3), (1, 8, 8))
    assert (sheet.unread.count, sheet.findings) == (0, ())


CASTS = {
    "type_as": lambda k, y: k.type_as(y),
    "to": lambda k, y: k.to(y),
    "expand_as": lambda k, y: k.expand_as(y),
    "dtype": lambda k, y: k.view(()).to(y.dtype),
}


@pytest.mark.parametrize("way", CASTS)
def test_what_gives_only_a_type_or_a_shape_is_not_read(way):
    net = Calls(lambda x, k: x[..., :4] * CASTS[way](k, x[..., 4:]))
    sheet = measure(net, (1, 8, 8))
    assert sheet.unread.lines == ((), (4, 5, 6, 7))


def test_an_added_matrix_that_depends_on_the_picture_is_read():
    sheet = measure(Calls(lambda x, w: torch.addmm(x[0, 0], x[0, 1] * 0 + w, w), 8, 8), (2, 8, 8))
    assert sheet.unread.count == 0


def test_weights_made_of_the_picture_are_read():
    net = Calls(lambda x, _: F.conv2d(x[:, :1, :4, :4], x[:, 1:, 4:7, 4:7]))
    assert measure(net, (2, 8, 8)).field is None


def test_calls_bind_while_a_net_runs():
    net = Calls(lambda x, w: F.conv2d(weight=w, input=x, stride=2), 4, 3, 3, 3)
    (call,) = trace(net, [torch.empty(1, 3, 8, 8)]).calls
    assert (call.arg("stride"), call.arg("groups", 1), call.inputs[0].live) == (2, 1, True)
    assert functools.reduce(lambda a, b: a and b, [value.shape for value in call.inputs])
