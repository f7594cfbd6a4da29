"""Every operation in one, two and three dimensions against every kind of tensor and every way PyTorch transforms it."""

from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from striate import shapes
from striate.ops import (
    activation,
    conv,
    graph,
    kernels,
    local,
    norm,
    pool,
    separable,
    transposed,
    unpool,
)
from striate.ops.padding import pad
from striate.ops.pool.halving import halving_max

SPACE = (5, 4, 3)
PADS = ((1, 0), (0, 1), (1, 1))
FILLS: tuple[Any, ...] = ("zeros", "reflect", "replicate", "circular", 1.5)


class Case(NamedTuple):
    """A call on float64 tensors, the first of them with items in front, and the size that comes out of an item."""

    call: Callable[..., Tensor]
    tensors: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]


def convolutions(rank: int) -> Iterator[tuple[str, Case]]:
    """Those with a kernel, over `rank` axes."""
    size, ones = SPACE[:rank], (1,) * rank
    x, kernel = (2, 2, *size), (2, 3, 2)[:rank]
    moves: dict[str, Any] = {"stride": (2, 1, 1)[:rank], "padding": PADS[:rank]}
    out = shapes.conv_cost(x[1:], out_channels=4, kernel_size=kernel, **moves).output
    for fill in FILLS:
        call = partial(conv.conv, **moves, groups=2, fill=fill)
        yield f"conv {fill}", Case(call, (x, (4, 1, *kernel), (4,)), out)
    same: dict[str, Any] = {"stride": 2, "padding": "same", "dilation": 2}
    halves = (4, *(-(-n // 2) for n in size))
    yield "true conv", Case(partial(conv.true_conv, **same), (x, (4, 2, *kernel)), halves)
    call = partial(separable.depthwise_conv, **same, fill="replicate")
    yield "depthwise", Case(call, (x, (4, 1, *kernel)), halves)
    call = partial(separable.depthwise_separable_conv, **moves)
    yield "depthwise separable", Case(call, (x, (4, 1, *kernel), (4, 4, *ones), (4,)), out)
    call = lambda x, *factors: separable.separable_conv(x, factors, fill="circular", **moves)  # noqa: E731
    yield "separable", Case(call, (x, *((k,) for k in kernel)), (2, *out[1:]))
    back: dict[str, Any] = {"stride": 2, "padding": PADS[:rank], "output_padding": 1}
    up = shapes.conv_transpose_cost(x[1:], out_channels=4, kernel_size=kernel, **back).output
    call = partial(transposed.conv_transpose, groups=2, **back)
    yield "transposed", Case(call, (x, (2, 2, *kernel), (4,)), up)
    call = partial(transposed.conv_transpose_to, output_size=[2 * n for n in size], stride=2)
    yield "transposed to", Case(call, (x, (2, 3, *ones)), (3, *(2 * n for n in size)))
    yield (
        "local",
        Case(
            partial(local.local_conv, **moves), (x, (*out[1:], 4, *kernel, 2), (*out[1:], 4)), out
        ),
    )
    grid = (2, 2, 1)[:rank]
    call = partial(local.regional_conv, fill="reflect", **moves)
    yield "regional", Case(call, (x, (*grid, 4, 2, *kernel), (*grid, 4)), out)
    call = partial(local.tabled_conv, table=[[0], [1, 0], [], [1]], fill="circular", **moves)
    yield "tabled", Case(call, (x, (4, *kernel), (4,)), out)


def poolings(rank: int) -> Iterator[tuple[str, Case]]:
    """Those without weights, over `rank` axes."""
    x, size = (2, 3, *SPACE[:rank]), SPACE[:rank]
    odd: dict[str, Any] = {
        "kernel_size": (3, 2, 2)[:rank],
        "padding": PADS[:rank],
        "ceil_mode": True,
    }
    odd["stride"] = (2, 1, 2)[:rank]
    plain = {"kernel_size": 2, "stride": 1}
    windowed: dict[str, tuple[Callable[..., Tensor], dict[str, Any]]] = {
        "max": (pool.max_pool, odd),
        "max of its places": (lambda x, **args: pool.max_pool_with_indices(x, **args)[0], odd),
        "max plain": (pool.max_pool, plain),
        "average": (partial(pool.avg_pool, count_include_pad=False), odd),
        "average plain": (pool.avg_pool, plain),
        "average dilated": (pool.avg_pool, {**plain, "dilation": 2}),
        **{
            f"l{p}": (partial(pool.lp_pool, norm_type=p), odd) for p in (1, 2, 2.5, 3, float("inf"))
        },
        "weighted": (partial(pool.weighted_avg_pool, sigma=0.8), odd),
        "expectation": (partial(pool.stochastic_pool, training=False), odd),
    }
    for name, (call, args) in windowed.items():
        yield name, Case(partial(call, **args), (x,), shapes.pool_cost(x[1:], **args).output)
    ones = (3, *(1,) * rank)
    yield "global max", Case(pool.global_max_pool, (x,), ones)
    yield "global average", Case(pool.global_avg_pool, (x,), ones)
    yield "global l2", Case(pool.global_lp_pool, (x,), ones)
    yield (
        "adaptive max",
        Case(partial(pool.adaptive_max_pool, output_size=2), (x,), (3, *(2,) * rank)),
    )
    yield (
        "adaptive average",
        Case(partial(pool.adaptive_avg_pool, output_size=2), (x,), (3, *(2,) * rank)),
    )
    yield "pyramid", Case(partial(pool.pyramid_pool, levels=(2, 1)), (x,), (3 * (2**rank + 1),))
    yield "k-max", Case(partial(pool.kmax_pool, k=2), (x,), (3, *size[:-1], 2))
    double = (3, *(2 * n for n in size))
    yield "nearest", Case(partial(unpool.nearest_unpool, scale=2), (x,), double)
    yield "nails", Case(partial(unpool.nails_unpool, scale=2), (x,), double)
    yield "max unpool", Case(unpooled, (x,), double)


def unpooled(x: Tensor) -> Tensor:
    """Values back to places that lie two apart."""
    places = torch.arange(prod(x.shape[2:])).view(1, 1, *x.shape[2:]) * 2
    return unpool.max_unpool(x, places.expand(x.shape), kernel_size=2)


def rest(rank: int) -> Iterator[tuple[str, Case]]:
    """What leaves the size as it is, and padding."""
    x = (3, 4, *SPACE[:rank])
    for fill in FILLS:
        call = partial(pad, sides=PADS[:rank], fill=fill)
        wider = tuple(n + sum(p) for n, p in zip(x[2:], PADS, strict=False))
        yield f"pad {fill}", Case(call, (x,), (4, *wider))
    trained = lambda x, w, b: norm.batch_norm(x, None, None, w, b, training=True)  # noqa: E731
    yield "batch norm", Case(trained, (x, (4,), (4,)), x[1:])
    still = lambda x: norm.batch_norm(x, x.new_zeros(4), x.new_ones(4))  # noqa: E731
    yield "batch norm still", Case(still, (x,), x[1:])
    decayed = lambda x: norm.batch_norm_decay(x, x.new_zeros(4), x.new_ones(4), training=True)  # noqa: E731
    yield "batch norm decay", Case(decayed, (x,), x[1:])
    windows: tuple[tuple[int, Literal["mean", "sum"]], ...] = ((4, "mean"), (3, "sum"))
    for size, window in windows:
        call = partial(norm.local_response_norm, size=size, alpha=0.3, window=window)
        yield f"lrn {window}", Case(call, (x,), x[1:])
    yield "dropout", Case(lambda x: norm.dropout(x, p=1.0), (x,), x[1:])
    yield "spatial dropout", Case(partial(norm.spatial_dropout, training=False), (x,), x[1:])
    for name in ("relu", "sigmoid", "tanh", "scaled_tanh"):
        yield name, Case(getattr(activation, name), (x,), x[1:])
    yield "glu", Case(activation.glu, (x,), (2, *x[2:]))
    call = partial(kernels.apply, kernel=torch.arange(2.0**rank).view((2,) * rank))
    yield "apply", Case(call, (x,), x[1:])


RING = graph.laplacian((torch.eye(5).roll(1, 0) + torch.eye(5).roll(-1, 0)).double())
VECTORS = graph.spectrum(RING).vectors
CASES: dict[str, Case] = {
    f"{name} {rank}d": case
    for rank in (1, 2, 3)
    for kind in (convolutions, poolings, rest)
    for name, case in kind(rank)
} | {
    "spectral": Case(
        lambda x, t, b: graph.spectral_conv(x, t, VECTORS.to(x), b),
        ((2, 2, 5), (3, 2, 5), (3,)),
        (3, 5),
    ),
    "chebyshev": Case(
        lambda x, t, b: graph.chebyshev_conv(x, t, RING.to(x), b),
        ((2, 2, 5), (3, 2, 3), (3,)),
        (3, 5),
    ),
    "halving max": Case(halving_max, ((2, 3, 4, 6),), (3, 2, 3)),
}


def tensors(kit: Any, name: str) -> list[Tensor]:
    """What a case is called with, distinct numbers."""
    return [kit.rand(*size, seed=i) for i, size in enumerate(CASES[name].tensors)]


@pytest.mark.parametrize("name", CASES)
def test_size_layouts_and_empty_batches(kit, name):
    call, (x, *others) = CASES[name].call, tensors(kit, name)
    y = call(x, *others)
    assert y.shape[1:] == CASES[name].out
    assert y.dtype is torch.float64
    for other in layouts(x):
        kit.close(call(other, *others), y)
    assert call(x[:0], *others).shape == (0, *y.shape[1:])
    kit.close(call(x, *(t.repeat_interleave(2, -1)[..., ::2] for t in others)), y)


def layouts(x: Tensor) -> Iterator[Tensor]:
    """`x` laid out otherwise in memory: channels last, axes turned, every second of more cells."""
    yield x.movedim(1, -1).contiguous().movedim(-1, 1)
    yield x.transpose(0, -1).contiguous().transpose(0, -1)
    yield x.repeat_interleave(2, -1)[..., ::2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", CASES)
def test_narrow_types(kit, name, dtype):
    call, given = CASES[name].call, [t.to(dtype) for t in tensors(kit, name)]
    y = call(*given)
    assert y.dtype is dtype
    tolerance = {torch.float16: 1e-2, torch.bfloat16: 6e-2, torch.float32: 1e-5}[dtype]
    exact = call(*(t.double() for t in given))
    torch.testing.assert_close(y.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_gradients(kit, name):
    call, given = CASES[name].call, [t.requires_grad_() for t in tensors(kit, name)]
    fast = not name.endswith("1d")
    assert torch.autograd.gradcheck(call, given, fast_mode=fast)
    assert torch.autograd.gradgradcheck(call, given, fast_mode=fast)
    y = call(*given)
    several = torch.stack([torch.ones_like(y), y.detach()])
    batched = torch.autograd.grad(y, given, several, is_grads_batched=True, retain_graph=True)
    for i, one in enumerate(several):
        single = torch.autograd.grad(y, given, one, retain_graph=True)
        for a, b in zip(batched, single, strict=True):
            kit.close(a[i], b)


@pytest.mark.parametrize("name", CASES)
def test_vmap(kit, name):
    call, (x, *others) = CASES[name].call, tensors(kit, name)
    both = torch.stack([x, 2 * x])
    expected = torch.stack([call(one, *others) for one in both])
    kit.close(torch.vmap(call, (0, *(None,) * len(others)))(both, *others), expected)
    kit.close(torch.vmap(call)(both, *(t.expand(2, *t.shape) for t in others)), expected)


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize("name", CASES)
def test_exports(kit, name):
    call, (x, *others) = CASES[name].call, tensors(kit, name)

    class Net(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return call(x, *others)

    free = {0: torch.export.Dim("batch", min=2, max=64)}
    program = torch.export.export(Net(), (x,), dynamic_shapes={"x": free})
    more = torch.cat([x, x, x])
    kit.close(program.module()(more), call(more, *others))


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler itself does
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.full] * n.endswith(("1d", "3d"))) for n in CASES],
)
def test_compiles_to_one_graph(kit, name):
    call, given = CASES[name].call, [t.requires_grad_() for t in tensors(kit, name)]
    y, z = call(*given), kit.compiled(call)(*given)
    kit.close(z, y)
    slopes = (torch.autograd.grad(out.square().sum(), given) for out in (z, y))
    for ours, eager in zip(*slopes, strict=True):
        kit.close(ours, eager)
