"""Pooling: every kind equal to its twin, the laws, the distribution of the random kind, the messages."""

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from striate import shapes
from striate.errors import ArgumentError, ShapeError
from striate.ops import gradients
from striate.ops import pool as ops
from twins import pool as twins

FEW = settings(max_examples=25, deadline=None)
MANY = settings(max_examples=60, deadline=None)


def drawn(data, kit, *, dilated: bool = True):
    """A random legal call: input, window, arguments; padding less than the window is wide."""
    window, args = data.draw(kit.windows(ceil=True))
    if not dilated:
        args.pop("dilation")
    if args["padding"] not in shapes.WORDS:
        narrow = min(
            shapes.spread(k, d if dilated else 1)
            for k, d in zip(window.kernel, window.dilation, strict=True)
        )
        args["padding"] = tuple((min(b, narrow - 1), min(a, narrow - 1)) for b, a in window.sides)
    try:
        window = shapes.window(window.size, **args)
    except ShapeError:
        args |= {"padding": 0, "kernel_size": 1}
        window = shapes.window(window.size, **args)
    return kit.rand(2, 2, *window.size, seed=data.draw(st.integers(0, 9))), window, args


@given(st.data())
@MANY
def test_max_and_its_places_equal_the_twin(kit, data):
    x, window, args = drawn(data, kit)
    x = (3 * x).round()
    values, places = ops.max_pool_with_indices(x, **args)
    kit.close(values, twins.max_pool(x.numpy(), window))
    kit.close(ops.max_pool(x, **args), values)
    real = values.isfinite()
    assert torch.equal(places[real], torch.tensor(twins.max_places(x.numpy(), window))[real])


@given(st.data())
@FEW
def test_max_takes_integers(kit, data):
    x, window, args = drawn(data, kit)
    dtype = data.draw(st.sampled_from([torch.uint8, torch.int16, torch.int64]))
    x = (20 * x).abs().to(dtype)
    y = ops.max_pool(x, **args)
    assert y.dtype == dtype
    assert torch.equal(y, torch.tensor(twins.max_pool(x.numpy(), window)))


@given(st.data(), st.booleans())
@MANY
def test_average_equals_the_twin(kit, data, counted):
    x, window, args = drawn(data, kit)
    y = ops.avg_pool(x, count_include_pad=counted, **args)
    assert y.shape[2:] == window.out
    kit.close(y, twins.avg_pool(x.numpy(), window, count_include_pad=counted))


@given(st.data(), st.sampled_from([1, 1.5, 2, 3, 4, 7.5, float("inf")]))
@MANY
def test_lp_equals_the_twin(kit, data, p):
    x, window, args = drawn(data, kit)
    kit.close(ops.lp_pool(x, norm_type=p, **args), twins.lp_pool(x.numpy(), window, p))


@given(st.data(), st.sampled_from([0.3, 1.0, 5.0]))
@FEW
def test_weighted_equals_the_twin(kit, data, sigma):
    x, window, args = drawn(data, kit)
    y = ops.weighted_avg_pool(x, sigma=sigma, **args)
    kit.close(y, twins.weighted_avg_pool(x.numpy(), window, sigma))


@given(st.data())
@FEW
def test_stochastic_expectation_equals_the_twin(kit, data):
    x, window, args = drawn(data, kit, dilated=False)
    x = x - 0.5
    y = ops.stochastic_pool(x, training=False, **args)
    kit.close(y, twins.stochastic_expectation(x.numpy(), window))


@given(st.data())
@FEW
def test_a_drawn_value_has_positive_probability(kit, data):
    x, window, args = drawn(data, kit, dilated=False)
    x = (x - 1) * (x.abs() > 0.3)
    y = ops.stochastic_pool(x, **args)
    assert y.shape[2:] == window.out
    for place in twins.places(window):
        read = np.stack([x.numpy()[(..., *at)] for _, at in twins.cells(place, window)], -1)
        likely = np.where(twins.stochastic_probabilities(read) > 0, read, np.nan)
        assert (np.isclose(likely, y.numpy()[(..., *place)][..., None])).any(-1).all()


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("zero", [False, True])
def test_stochastic_draws_in_proportion(zero, padding):
    """50,000 draws of one window of four: every share within five standard errors."""
    window = torch.tensor([[0.0, 0, 0, 0]] if zero else [[1.0, 2, 3, 4]]) + torch.tensor(
        [[-4.0, -3, -2, -1]] if zero else [[0.0] * 4]
    )
    n = 50_000
    x = window.expand(n, 1, 4)
    args = {"kernel_size": 4 + 2 * padding, "stride": 4 + padding, "padding": padding}
    y = ops.stochastic_pool(x, **args, generator=torch.Generator().manual_seed(3))[:, 0, 0]
    expected = torch.full((4,), 0.25) if zero else window[0] / 10
    shares = torch.stack([(y == v).float().mean() for v in window[0]])
    assert ((shares - expected).abs() < 5 * (expected * (1 - expected) / n).sqrt()).all()


def test_stochastic_is_a_function_of_its_generator_and_leaves_the_global_one(kit):
    x = kit.rand(1, 2, 8, 8)
    before = torch.get_rng_state()
    draw = lambda seed: ops.stochastic_pool(  # noqa: E731
        x, kernel_size=3, stride=2, generator=torch.Generator().manual_seed(seed)
    )
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(torch.get_rng_state(), before)


@given(st.integers(1, 12), st.data())
@FEW
def test_kmax_equals_the_twin(kit, n, data):
    k = data.draw(st.integers(1, n))
    x = kit.rand(2, 3, n)
    kit.close(ops.kmax_pool(x, k=k), twins.kmax_pool(x.numpy(), k))
    kit.close(ops.kmax_pool(x.transpose(0, 2), k=k, dim=0).transpose(0, 2), ops.kmax_pool(x, k=k))


def test_kmax_of_equal_values_is_a_subsequence_of_the_largest():
    y = ops.kmax_pool(torch.tensor([[2, 1, 2, 2, 3]]), k=3)
    assert sorted(y[0].tolist()) == [2, 2, 3]
    assert y[0, -1] == 3


@given(st.data())
@FEW
def test_adaptive_pools_and_pyramid_equal_the_twin(kit, data):
    rank = data.draw(st.integers(1, 3))
    size, grid = (tuple(data.draw(st.integers(1, 5)) for _ in range(rank)) for _ in range(2))
    x = kit.rand(2, 3, *size)
    most = twins.adaptive_pool(x.numpy(), grid, np.max)
    kit.close(ops.adaptive_max_pool(x, output_size=grid), most)
    kit.close(
        ops.adaptive_avg_pool(x, output_size=grid), twins.adaptive_pool(x.numpy(), grid, np.mean)
    )
    row = ops.pyramid_pool(x, levels=(grid, 1))
    kit.close(row, np.concatenate([most.reshape(2, -1), x.numpy().reshape(2, 3, -1).max(-1)], 1))


def test_pyramid_gives_the_same_length_for_any_size(kit):
    rows = [ops.pyramid_pool(kit.rand(2, 3, h, w)) for h, w in [(4, 4), (13, 7), (1, 1)]]
    assert {row.shape for row in rows} == {(2, 3 * 21)}
    assert ops.pyramid_pool(kit.rand(2, 3, 5, 5), levels=(1,), kind="average").shape == (2, 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_pools(kit, rank):
    x = kit.rand(2, 3, *(4,) * rank)
    flat = x.flatten(2)
    kit.close(ops.global_max_pool(x).flatten(1), flat.amax(2))
    kit.close(ops.global_avg_pool(x).flatten(1), flat.mean(2))
    for p in (1, 2, 3, float("inf")):
        norm = torch.linalg.vector_norm(flat, p, 2)
        kit.close(ops.global_lp_pool(x, norm_type=p).flatten(1), norm)
    assert ops.global_avg_pool(x).shape == (2, 3, *(1,) * rank)


def test_a_mean_of_large_half_precision_maps_does_not_overflow(kit):
    x = torch.full((1, 1, 300, 300), 2.0, dtype=torch.float16)
    assert ops.global_avg_pool(x).item() == 2


# --- gradients -----------------------------------------------------------------------------------

ODD = {"kernel_size": (3, 2), "stride": (2, 1), "padding": ((1, 2), (0, 1)), "ceil_mode": True}
SMOOTH: dict[str, Callable[..., torch.Tensor]] = {
    "average": partial(ops.avg_pool, **ODD),
    "average dilated": partial(ops.avg_pool, **ODD, dilation=2, count_include_pad=False),
    "max": partial(ops.max_pool, **ODD),
    "l2": partial(ops.lp_pool, **ODD),
    "l3": partial(ops.lp_pool, **ODD, norm_type=3),
    "l2.5": partial(ops.lp_pool, **ODD, norm_type=2.5),
    "weighted": partial(ops.weighted_avg_pool, **ODD, sigma=0.8),
    "expectation": partial(ops.stochastic_pool, **ODD, training=False),
    "k-max": partial(ops.kmax_pool, k=3),
    "pyramid": ops.pyramid_pool,
    "global l2": ops.global_lp_pool,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradcheck(kit, name):
    x = kit.rand(1, 2, 5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(SMOOTH[name], x)
    assert torch.autograd.gradgradcheck(SMOOTH[name], x)


def test_gradient_of_a_drawn_value_goes_to_its_place(kit):
    x = kit.rand(2, 3, 6, 6).requires_grad_()
    y = ops.stochastic_pool(x, kernel_size=2)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert grad.sum() == y.numel()
    kit.close((grad * x).sum(), y.sum())


@pytest.mark.parametrize("p", [1, 2, 3, 2.5])
def test_lp_gradient_of_zeros_is_zero(p):
    x = torch.zeros(1, 1, 4, dtype=torch.float64, requires_grad=True)
    ops.lp_pool(x, kernel_size=2, norm_type=p).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_gradients_do_not_depend_on_the_runs_through_the_cache(kit, monkeypatch):
    x = kit.rand(5, 2, 5, 4).requires_grad_()
    expectation = SMOOTH["expectation"]
    whole = expectation(x)
    (slope,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(gradients, "_VALUES", 80)  # two items a run, one in the last
    y = expectation(x)
    kit.close(y, whole)
    kit.close(torch.autograd.grad(y.square().sum(), x)[0], slope)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weighted_sums_are_rounded_once(kit, dtype):
    x = kit.rand(1, 1, 9, 9).to(dtype)
    y = ops.weighted_avg_pool(x, kernel_size=5, stride=1, sigma=1.0)
    assert torch.equal(
        y, ops.weighted_avg_pool(x.float(), kernel_size=5, stride=1, sigma=1.0).to(dtype)
    )


# --- laws ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [ops.max_pool, ops.avg_pool, ops.lp_pool])
def test_pooling_of_a_shifted_input_is_shifted_by_whole_strides(kit, call):
    x = kit.rand(1, 2, 12)
    y = call(x, kernel_size=3, stride=2)
    shifted = call(x.roll(4, -1), kernel_size=3, stride=2)
    kit.close(shifted[..., 2:], y[..., :-2])


def test_norms_grow_from_the_maximum_to_the_sum(kit):
    x = kit.rand(2, 3, 7, 7)
    calls = [ops.lp_pool(x, kernel_size=3, norm_type=p) for p in (1, 1.5, 2, 4, 40, float("inf"))]
    assert all((a >= b - 1e-12).all() for a, b in pairwise(calls))
    kit.close(calls[-1], ops.max_pool(x.abs(), kernel_size=3))


def test_a_white_circle_stays_white_under_max_and_dims_under_average():
    line = torch.arange(32.0) - 15.5
    circle = ((line[:, None] ** 2 + line**2).sqrt() - 10).abs().lt(0.7).double()[None, None]
    most, mean = (pool(circle, kernel_size=2) for pool in (ops.max_pool, ops.avg_pool))
    assert set(most.unique().tolist()) == {0.0, 1.0}
    assert 0 < mean[most == 1].mean() < 0.7


def test_gaussian_weights_sum_to_one_and_flatten_to_the_average(kit):
    for cells in range(1, 6):
        weights = ops.gaussian_weights(cells, 0.7)
        assert sum(weights) == pytest.approx(1)
        assert weights == pytest.approx(weights[::-1])
    x = kit.rand(1, 2, 6, 6)
    wide = ops.weighted_avg_pool(x, kernel_size=3, sigma=1e6)
    kit.close(wide, ops.avg_pool(x, kernel_size=3))


def test_average_divides_by_what_the_caller_counts():
    x = torch.ones(1, 1, 3)
    assert ops.avg_pool1d(x, kernel_size=3, stride=2, padding=1)[0, 0].tolist() == pytest.approx(
        [2 / 3, 2 / 3]
    )
    real = ops.avg_pool1d(x, kernel_size=3, stride=2, padding=1, count_include_pad=False)
    assert real[0, 0].tolist() == [1, 1]


# --- kinds of tensors ----------------------------------------------------------------------------

CALLS = SMOOTH | {
    "max same": partial(ops.max_pool, kernel_size=3, stride=2, padding="same"),
    "drawn": partial(ops.stochastic_pool, kernel_size=2),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", CALLS)
def test_narrow_types(kit, name, dtype):
    for space in [(5, 4), (3, 5, 4)]:
        if len(space) == 3 and "kernel_size" in getattr(CALLS[name], "keywords", {}):
            continue
        assert CALLS[name](kit.rand(2, 3, *space).to(dtype)).dtype == dtype
    if name != "drawn":
        x = kit.rand(2, 3, 5, 4).to(dtype)
        torch.testing.assert_close(
            CALLS[name](x).double(), CALLS[name](x.double()), rtol=2e-2, atol=2e-2
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_volumes_in_half_precision(kit, dtype):
    x = kit.rand(1, 2, 4, 4, 4).to(dtype)
    y = ops.avg_pool3d(x, kernel_size=2)
    assert y.dtype == dtype
    torch.testing.assert_close(
        y.double(), ops.avg_pool3d(x.double(), kernel_size=2), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("name", SMOOTH)
def test_layouts_and_empty_batches(kit, name):
    call, x = SMOOTH[name], kit.rand(2, 3, 5, 4)
    y = call(x)
    kit.close(call(x.to(memory_format=torch.channels_last)), y)
    kit.close(call(x.transpose(2, 3).contiguous().transpose(2, 3)), y)
    assert call(x[:0]).shape == (0, *y.shape[1:])


@pytest.mark.parametrize("name", [n for n in SMOOTH if n != "pyramid"])
def test_vmap(kit, name):
    x = kit.rand(2, 2, 3, 5, 4)
    kit.close(torch.vmap(SMOOTH[name])(x), torch.stack([SMOOTH[name](one) for one in x]))


@pytest.mark.parametrize("name", SMOOTH)
def test_exports(kit, name):
    class Net(torch.nn.Module):
        def forward(self, x):
            return SMOOTH[name](x)

    x = kit.rand(2, 3, 5, 4)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Net(), (x,), dynamic_shapes={"x": {0: batch}})
    more = kit.rand(5, 3, 5, 4)
    kit.close(program.module()(more), SMOOTH[name](more))


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize("name", CALLS)
def test_compiles_to_one_graph(kit, name):
    x = kit.rand(2, 3, 5, 4).requires_grad_()
    compiled = kit.compiled(CALLS[name])
    y = compiled(x)
    if name != "drawn":
        kit.close(y, CALLS[name](x))
    y.sum().backward()


# --- whole messages ------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda x: ops.max_pool2d(x, kernel_size=3, padding=3),
            ShapeError,
            (
                "max_pool: padding of 3 + 3 is as wide as the window, which spreads over 3: "
                "it would read nothing else; pad less"
            ),
        ),
        (
            lambda x: ops.max_pool2d(x[0], kernel_size=2),
            ShapeError,
            (
                "max_pool2d: got 3 axes [2, 4, 4], expected 4: items, channels and 2 of space; "
                "add the missing one with x[None]"
            ),
        ),
        (
            lambda x: ops.avg_pool(x.long(), kernel_size=2),
            ArgumentError,
            "avg_pool: got torch.int64, expected a floating type; convert with .float()",
        ),
        (
            lambda x: ops.avg_pool(x, kernel_size=5),
            ShapeError,
            (
                "avg_pool: a kernel that spreads over 5 cells does not fit in 4 padded by 0 + 0; "
                "pad more or take a smaller kernel or dilation"
            ),
        ),
        (
            lambda x: ops.lp_pool(x, kernel_size=2, norm_type=0.5),
            ArgumentError,
            "lp_pool: norm_type=0.5 is no norm, expected at least 1",
        ),
        (
            lambda x: ops.weighted_avg_pool(x, kernel_size=2, sigma=0),
            ArgumentError,
            "sigma=0 is no width, expected more than 0",
        ),
        (
            lambda x: ops.kmax_pool(x, k=0),
            ArgumentError,
            "kmax_pool: k=0, expected an integer of 1 to 2147483647",
        ),
        (
            lambda x: ops.kmax_pool(x, k=5),
            ShapeError,
            "kmax_pool: got 4 values along axis -1, expected at least k=5",
        ),
        (
            lambda x: ops.pyramid_pool(x, kind="mean"),  # pyright: ignore[reportArgumentType]
            ArgumentError,
            "pyramid_pool: unknown kind 'mean'; there are: average, max",
        ),
        (
            lambda x: ops.adaptive_avg_pool(x, output_size=0),
            ArgumentError,
            "adaptive_avg_pool: output_size=0 must be at least 1 on every axis",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(torch.zeros(1, 2, 4, 4))
