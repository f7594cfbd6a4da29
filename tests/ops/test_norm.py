"""Normalisation, dropout and activations against their formulas, PyTorch and their conventions."""

import re
from collections.abc import Callable
from math import prod

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from striate.errors import ArgumentError, ShapeError
from striate.ops import activation, gradients, norm
from twins import norm as twins

FEW = settings(max_examples=25, deadline=None)


@given(
    st.integers(1, 7),
    st.integers(1, 9),
    st.sampled_from([0.75, 0.5, 1.3]),
    st.sampled_from(["mean", "sum"]),
)
@FEW
def test_lrn_equals_its_twin(kit, channels, size, beta, window):
    x = 3 * kit.rand(2, channels, 3)
    y = norm.local_response_norm(x, size=size, alpha=0.3, beta=beta, k=2, window=window)
    alpha = 0.3 / size if window == "mean" else 0.3
    kit.close(y, twins.local_response_norm(x.numpy(), size, alpha, beta, 2))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn_of_odd_size_equals_pytorch(kit, size):
    x = kit.rand(2, 6, 4, 5)
    kit.close(
        norm.local_response_norm(x, size=size, alpha=0.2), F.local_response_norm(x, size, 0.2)
    )


@pytest.mark.parametrize("beta", [0.75, 0.5, 0.6])
@pytest.mark.parametrize("size", [4, 5])
def test_lrn_gradcheck(kit, size, beta):
    x = kit.rand(2, 6, 2).requires_grad_()

    def call(x):
        return norm.local_response_norm(x, size=size, alpha=0.4, beta=beta)

    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)
    frozen = torch.autograd.grad(call(x).square().sum(), x)[0]
    followed = torch.autograd.grad(call(x).square().sum(), x, create_graph=True)[0]
    kit.close(frozen, followed)


def test_lrn_does_not_depend_on_the_runs_through_the_cache(kit, monkeypatch):
    x = kit.rand(5, 4, 10).requires_grad_()
    whole = norm.local_response_norm(x, size=4, alpha=0.4)
    (slope,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr(gradients, "_VALUES", 80)  # two items a run, one in the last
    for layout in (x, x.mT.contiguous().mT, x.movedim(1, 2).contiguous().movedim(2, 1)):
        y = norm.local_response_norm(layout, size=4, alpha=0.4)
        kit.close(y, whole)
        kit.close(torch.autograd.grad(y.square().sum(), x, retain_graph=True)[0], slope)


@pytest.mark.parametrize("size", [12, 100, 2**31 - 1])
def test_lrn_window_wider_than_the_channels(kit, size):
    x = kit.rand(2, 6, 3)
    y = norm.local_response_norm(x, size=size, alpha=0.3, window="sum")
    kit.close(y, x / (1 + 0.3 * x.square().sum(1, keepdim=True)) ** 0.75)


@pytest.mark.parametrize("dim", [0, 1, 3])
def test_lrn_is_mapped_along_any_axis(kit, dim):
    x = kit.rand(3, 4, 2, 5)

    def slope(x):
        return torch.func.grad(lambda x: norm.local_response_norm(x, size=3).square().sum())(x)

    parts = [slope(one) for one in x.unbind(dim)]
    kit.close(torch.vmap(slope, in_dims=dim)(x), torch.stack(parts))


@pytest.mark.parametrize("convention", ["momentum", "decay"])
def test_batch_norm_conventions(kit, convention):
    x = kit.rand(4, 3, 5)
    mean, var = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    flat = x.transpose(0, 1).flatten(1)
    batch_mean, batch_var = flat.mean(1), flat.var(1, correction=convention == "momentum")
    if convention == "momentum":
        y = norm.batch_norm(x, mean, var, training=True, momentum=0.25)
    else:
        y = norm.batch_norm_decay(x, mean, var, training=True, decay=0.75)
    kit.close(mean, 0.25 * batch_mean)
    kit.close(var, 0.75 + 0.25 * batch_var)
    population = flat.var(1, correction=0)
    kit.close(y, twins.batch_norm(x.numpy(), batch_mean.numpy(), population.numpy(), 1e-5))
    still = (
        norm.batch_norm_decay(x, mean, var)
        if convention == "decay"
        else norm.batch_norm(x, mean, var)
    )
    kit.close(still, twins.batch_norm(x.numpy(), mean.numpy(), var.numpy(), 1e-5))


@given(
    st.integers(0, 4),
    st.integers(1, 3),
    st.lists(st.integers(1, 3), max_size=3),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from([1e-5, 1e-3, 1.0]),
)
@FEW
def test_batch_norm_equals_its_twin(kit, items, channels, space, share, chosen, eps):
    training, decays, scaled, shifted = chosen
    x = kit.rand(items, channels, *space) + 2
    training = training and items * prod(space) > 1
    mean, var = kit.rand(channels, seed=1), kit.rand(channels, seed=2).square() + 0.1
    weight, bias = (
        kit.rand(channels, seed=s) if given else None for s, given in ((3, scaled), (4, shifted))
    )
    running = mean.clone(), var.clone()
    if decays:
        y = norm.batch_norm_decay(
            x, *running, weight, bias, training=training, decay=1 - share, eps=eps
        )
    else:
        y = norm.batch_norm(x, *running, weight, bias, training=training, momentum=share, eps=eps)
    used = mean.numpy(), var.numpy()
    if training:
        used = twins.statistics(x.numpy())
        count = x.numel() // channels
        unbiased = used[1] if decays else used[1] * count / (count - 1)
        kit.close(running[0], (1 - share) * mean + share * torch.from_numpy(used[0]))
        kit.close(running[1], (1 - share) * var + share * torch.from_numpy(unbiased))
    else:
        assert torch.equal(torch.stack(running), torch.stack((mean, var)))
    twin = torch.from_numpy(twins.batch_norm(x.numpy(), *used, eps))
    ones = [1] * len(space)
    twin = twin if weight is None else twin * weight.view(-1, *ones)
    kit.close(y, twin if bias is None else twin + bias.view(-1, *ones))


def test_batch_norm_gradcheck(kit):
    x, w, b = (kit.rand(*s).requires_grad_() for s in ((3, 2, 4), (2,), (2,)))
    call = lambda x, w, b: norm.batch_norm(x, None, None, w, b, training=True)  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, w, b))
    assert torch.autograd.gradgradcheck(call, (x, w, b))


@pytest.mark.parametrize("drop", [norm.dropout, norm.spatial_dropout])
def test_dropout_keeps_the_mean_and_follows_its_generator(drop):
    x = torch.ones(40, 50, 6)
    first, again = (drop(x, p=0.3, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert abs(first.mean() - 1) < 5 * (0.3 / 0.7 / 2000) ** 0.5
    assert drop(x, training=False) is x
    assert torch.equal(drop(x, p=1.0), torch.zeros_like(x))
    assert torch.equal(drop(x, p=0.0), x)


def test_spatial_dropout_drops_whole_maps():
    maps = norm.spatial_dropout(torch.ones(10, 20, 3, 3)).flatten(2)
    assert (maps == maps[..., :1]).all()


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "scaled_tanh", "glu"])
def test_activations_equal_their_twins(kit, name):
    x = kit.rand(2, 4, 3).requires_grad_()
    call: Callable[..., torch.Tensor] = getattr(activation, name)
    kit.close(call(x), getattr(twins, name)(x.detach().numpy()))
    assert torch.autograd.gradcheck(call, x)
    assert torch.autograd.gradgradcheck(call, x)


@given(
    st.sampled_from(["relu", "sigmoid", "tanh", "scaled_tanh", "glu"]),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.integers(0, 1000),
    st.sampled_from([0.0, 1.0, 40.0]),
)
@FEW
def test_activations_of_any_shape_equal_their_twins(kit, name, shape, seed, scale):
    shape = (shape[0], 2 * (shape[1] if shape[1:] else 1), *shape[2:]) if name == "glu" else shape
    x = scale * kit.rand(*shape, seed=seed)
    kit.close(getattr(activation, name)(x), getattr(twins, name)(x.numpy()))


def test_scaled_tanh_keeps_one():
    assert activation.scaled_tanh(torch.tensor(1.0)) == pytest.approx(1, abs=1e-4)


CALLS: dict[str, Callable[..., torch.Tensor]] = {
    "lrn": lambda x: norm.local_response_norm(x, size=4),
    "batch": lambda x: norm.batch_norm(x, None, None, training=True),
    "glu": activation.glu,
    "scaled tanh": activation.scaled_tanh,
    "dropout": lambda x: norm.dropout(x, training=False),
}


@pytest.mark.parametrize("name", CALLS)
def test_kinds_of_tensors(kit, name):
    call, x = CALLS[name], kit.rand(3, 4, 3, 5)
    y = call(x)
    for dtype in (torch.float16, torch.bfloat16):
        assert call(x.to(dtype)).dtype == dtype
        torch.testing.assert_close(call(x.to(dtype)).double(), y, rtol=3e-2, atol=3e-2)
    kit.close(call(x.to(memory_format=torch.channels_last)), y)
    kit.close(call(x.transpose(2, 3).contiguous().transpose(2, 3)), y)
    assert call(x[:0]).shape == (0, *y.shape[1:])
    stacked = torch.stack([x, 2 * x])
    kit.close(torch.vmap(call)(stacked), torch.stack([call(one) for one in stacked]))


@pytest.mark.plain
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # PyTorch's compiler itself does
@pytest.mark.parametrize("name", CALLS)
def test_compiles_and_exports(kit, name):
    call, x = CALLS[name], kit.rand(3, 4, 3, 5).requires_grad_()
    kit.close(kit.compiled(call)(x), call(x))
    kit.close(
        torch.autograd.grad(kit.compiled(call)(x).square().sum(), x)[0],
        torch.autograd.grad(call(x).square().sum(), x)[0],
    )

    class Net(torch.nn.Module):
        def forward(self, x):
            return call(x)

    kit.close(torch.export.export(Net(), (x.detach(),)).module()(x.detach()), call(x))


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda x: norm.local_response_norm(x[0, 0]),
            ShapeError,
            "local_response_norm: got 1 axes [4], expected items, channels and space",
        ),
        (
            lambda x: norm.local_response_norm(x, window="max"),  # pyright: ignore[reportArgumentType]
            ArgumentError,
            "local_response_norm: unknown window 'max'; there are: mean, sum",
        ),
        (
            lambda x: norm.local_response_norm(x, size=0),
            ArgumentError,
            "local_response_norm: size=0, expected an integer of 1 to 2147483647",
        ),
        (
            lambda x: norm.batch_norm(x, torch.zeros(2), torch.ones(3)),
            ShapeError,
            "batch_norm: got [2] numbers for 3 channels",
        ),
        (
            lambda x: norm.batch_norm(x, None, None),
            ArgumentError,
            "batch_norm: evaluation needs running statistics; give them or training=True",
        ),
        (
            lambda x: norm.batch_norm(x[:, :, :1], None, None, training=True),
            ShapeError,
            "batch_norm: one value a channel [1, 3, 1] has no variance; batch more",
        ),
        (
            lambda x: norm.batch_norm(x[0, 0], None, None),
            ShapeError,
            "batch_norm: got 1 axes [4], expected items and channels",
        ),
        (
            lambda x: norm.dropout(x, p=1.5),
            ArgumentError,
            "dropout: p=1.5 is no probability, expected 0 to 1",
        ),
        (
            lambda x: norm.spatial_dropout(x[0]),
            ShapeError,
            "spatial_dropout: got 2 axes [3, 4], expected items, channels and space",
        ),
        (
            activation.glu,
            ShapeError,
            "glu: got 3 along axis 1, expected an even number to halve",
        ),
        (
            lambda x: activation.relu(x.long()),
            ArgumentError,
            "relu: got torch.int64, expected a floating type; convert with .float()",
        ),
    ],
)
def test_messages(call, kind, message):
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(torch.zeros(1, 3, 4))
