"""Wrong input of every kind to every operation: one line that names the operation, never a traceback from within."""

# pyright: reportArgumentType=false

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from striate import shapes
from striate.errors import ArgumentError
from striate.layers import conv as conv_layers
from striate.layers import local as local_layers
from striate.layers import norm as norm_layers
from striate.layers import pool as pool_layers
from striate.ops import (
    conv,
    conv_matrix,
    graph,
    init,
    kernels,
    local,
    norm,
    pool,
    separable,
    unpool,
)
from striate.ops.activation import glu, relu
from striate.ops.graph_from_series import similarity_graph, warping_distances
from striate.ops.padding import crop, pad
from striate.ops.transposed import conv_transpose, conv_transpose_to

# The hook on signatures fires before our messages.
pytestmark = pytest.mark.plain

X = torch.rand(2, 4, 7, 6)
RING = torch.eye(6).roll(1, 0) + torch.eye(6).roll(-1, 0)
LAPLACIAN = graph.laplacian(RING)
COSTS = {"size": (4, 7, 6), "kernel_size": 3}
MOVES = {"stride": 1, "padding": 0, "dilation": 1}
WINDOW = {"kernel_size": 2, "stride": 1, "padding": 0}

# Of every operation: legal tensors, and legal settings to be spoilt one at a time.
OPERATIONS: dict[str, tuple[Callable[..., Any], dict[str, torch.Tensor], dict[str, Any]]] = {
    "conv": (
        conv.conv,
        {"x": X, "weight": torch.rand(6, 2, 3, 3), "bias": torch.rand(6)},
        {**MOVES, "groups": 2, "fill": "zeros"},
    ),
    "true_conv": (
        conv.true_conv,
        {"x": X, "weight": torch.rand(6, 4, 3, 3)},
        {**MOVES, "groups": 1, "fill": "zeros"},
    ),
    "conv_transpose": (
        conv_transpose,
        {"x": X, "weight": torch.rand(4, 3, 3, 3), "bias": torch.rand(6)},
        {**MOVES, "groups": 2, "output_padding": 0},
    ),
    "conv_transpose_to": (
        conv_transpose_to,
        {"x": X, "weight": torch.rand(4, 3, 3, 3)},
        {**MOVES, "output_size": (9, 8)},
    ),
    "conv_matrix": (
        conv_matrix.conv_matrix,
        {"weight": torch.rand(6, 2, 3, 3)},
        {**MOVES, "size": (5, 5), "groups": 2, "fill": "zeros"},
    ),
    "local_conv": (
        local.local_conv,
        {"x": X, "weight": torch.rand(5, 4, 3, 3, 3, 4), "bias": torch.rand(5, 4, 3)},
        {**MOVES, "fill": "zeros"},
    ),
    "regional_conv": (
        local.regional_conv,
        {"x": X, "weight": torch.rand(2, 2, 3, 4, 3, 3), "bias": torch.rand(2, 2, 3)},
        {**MOVES, "fill": "zeros"},
    ),
    "tabled_conv": (
        local.tabled_conv,
        {"x": X, "weight": torch.rand(3, 3, 3), "bias": torch.rand(2)},
        {**MOVES, "table": [[0, 1], [2]]},
    ),
    "depthwise_separable_conv": (
        separable.depthwise_separable_conv,
        {"x": X, "depthwise": torch.rand(4, 1, 3, 3), "pointwise": torch.rand(5, 4, 1, 1)},
        MOVES,
    ),
    "separable_conv": (
        separable.separable_conv,
        {"x": X},
        {**MOVES, "factors": [torch.rand(3), torch.rand(3)], "fill": "zeros"},
    ),
    "factor": (separable.factor, {"kernel": torch.rand(3, 3)}, {}),
    "max_pool": (pool.max_pool, {"x": X}, {**WINDOW, "dilation": 1}),
    "max_pool_with_indices": (pool.max_pool_with_indices, {"x": X}, {**WINDOW, "dilation": 1}),
    "avg_pool": (pool.avg_pool, {"x": X}, {**WINDOW, "dilation": 1}),
    "lp_pool": (pool.lp_pool, {"x": X}, {**WINDOW, "norm_type": 2.0}),
    "weighted_avg_pool": (pool.weighted_avg_pool, {"x": X}, {**WINDOW, "sigma": 1.0}),
    "stochastic_pool": (pool.stochastic_pool, {"x": X}, WINDOW),
    "kmax_pool": (pool.kmax_pool, {"x": X}, {"k": 2, "dim": -1}),
    "pyramid_pool": (pool.pyramid_pool, {"x": X}, {"levels": (2, 1), "kind": "max"}),
    "adaptive_max_pool": (pool.adaptive_max_pool, {"x": X}, {"output_size": 2}),
    "global_max_pool": (pool.global_max_pool, {"x": X}, {}),
    "global_lp_pool": (pool.global_lp_pool, {"x": X}, {"norm_type": 2.0}),
    "nearest_unpool": (unpool.nearest_unpool, {"x": X}, {"scale": 2}),
    "nails_unpool": (unpool.nails_unpool, {"x": X}, {"scale": 2}),
    "max_unpool": (
        unpool.max_unpool,
        {"x": X, "indices": torch.zeros(2, 4, 7, 6, dtype=torch.int64)},
        {"kernel_size": 2},
    ),
    "batch_norm": (
        norm.batch_norm,
        {"x": X, "running_mean": torch.zeros(4), "running_var": torch.ones(4)},
        {"momentum": 0.1, "eps": 1e-5},
    ),
    "local_response_norm": (
        norm.local_response_norm,
        {"x": X},
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0, "window": "mean"},
    ),
    "dropout": (norm.dropout, {"x": X}, {"p": 0.5}),
    "spatial_dropout": (norm.spatial_dropout, {"x": X}, {"p": 0.5}),
    "relu": (relu, {"x": X}, {}),
    "glu": (glu, {"x": X}, {"dim": 1}),
    "laplacian": (graph.laplacian, {"adjacency": RING}, {}),
    "spectrum": (graph.spectrum, {"matrix": LAPLACIAN}, {}),
    "spectral_conv": (
        graph.spectral_conv,
        {"x": X[0], "theta": torch.rand(3, 7, 6), "vectors": LAPLACIAN, "bias": torch.rand(3)},
        {},
    ),
    "chebyshev_conv": (
        graph.chebyshev_conv,
        {"x": X[0], "theta": torch.rand(3, 7, 2), "matrix": LAPLACIAN},
        {"largest": 2.0},
    ),
    "apply": (kernels.apply, {"picture": X}, {"kernel": "blur", "padding": 1}),
    "pad": (pad, {"x": X}, {"sides": ((1, 1), (1, 1)), "fill": "zeros"}),
    "glorot_": (init.glorot_, {"weight": torch.rand(3, 3)}, {"gain": 1.0}),
    "batch_norm_decay": (
        norm.batch_norm_decay,
        {"x": X, "running_mean": torch.zeros(4), "running_var": torch.ones(4)},
        {"decay": 0.1, "eps": 1e-5, "training": True},
    ),
    "chebyshev_terms": (
        graph.chebyshev_terms,
        {"x": X[0], "matrix": LAPLACIAN},
        {"count": 2, "largest": 2.0},
    ),
    "crop": (crop, {"x": X}, {"top": 1, "left": 1, "size": (2, 2)}),
    "warping_distances": (warping_distances, {"series": torch.rand(3, 5)}, {"band": 2}),
    "similarity_graph": (
        similarity_graph,
        {"series": torch.rand(3, 5)},
        {"neighbours": 1, "band": 2},
    ),
    # In integers alone, without tensors.
    "out_size": (shapes.out_size, {}, {"size": 7, **MOVES, "kernel": 3, "ceil_mode": False}),
    "in_size": (shapes.in_size, {}, {"out": 7, **MOVES, "kernel": 3}),
    "transposed_size": (
        shapes.transposed_size,
        {},
        {"size": 7, **MOVES, "kernel": 3, "output_padding": 0},
    ),
    "padding_needed": (
        shapes.padding_needed,
        {},
        {"size": 7, "out": 7, "kernel": 3, "stride": 1, "dilation": 1, "lower": False},
    ),
    "window": (
        shapes.window,
        {},
        {"size": (7, 6), **MOVES, "kernel_size": 3, "ceil_mode": False},
    ),
    "spread": (shapes.spread, {}, {"kernel": 3, "dilation": 1}),
    "regions": (shapes.regions, {}, {"size": 7, "grid": 2}),
    "fans": (shapes.fans, {}, {"shape": (2, 3)}),
    "conv_cost": (
        shapes.conv_cost,
        {},
        {**COSTS, **MOVES, "out_channels": 6, "groups": 2, "bias": True},
    ),
    "conv_transpose_cost": (
        shapes.conv_transpose_cost,
        {},
        {**COSTS, **MOVES, "out_channels": 6, "groups": 2, "output_padding": 0, "bias": True},
    ),
    "local_cost": (
        shapes.local_cost,
        {},
        {**COSTS, **MOVES, "out_channels": 6, "grid": 2, "bias": True},
    ),
    "tabled_cost": (shapes.tabled_cost, {}, {**COSTS, **MOVES, "table": [[0]], "bias": True}),
    "pool_cost": (
        shapes.pool_cost,
        {},
        {**COSTS, **MOVES, "ceil_mode": False, "trained": True},
    ),
    "dense_cost": (
        shapes.dense_cost,
        {},
        {"size": (4, 7, 6), "output": (3,), "bias": True},
    ),
}
OPEN = {"output_size", "stride", "bias"}  # settings that may be left out, as None
JUNK = (
    *("x", -1.5, float("nan"), True, None, 10**20, {}, (1, "a"), (1, None), object(), b"x"),
    *(X, X.to_sparse(), X.numpy(), torch.Generator()),
)
# What is junk in one place and legal in another.
LEGAL = {
    "fill": (-1.5, float("nan"), 10**20),
    "norm_type": (10**20,),
    "alpha": (-1.5,),
    "beta": (-1.5,),
    "band": (None,),
    "grid": (None,),
    ("adaptive_max_pool", "output_size"): ((1, None),),  # None: an axis that stays as it is
    **dict.fromkeys(("bias", "ceil_mode", "lower", "trained", "training"), (True,)),
}


def _is(value: object, others: tuple[object, ...]) -> bool:
    return any(value is other or repr(value) == repr(other) for other in others)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_setting_refuses_what_it_is_not(name):
    call, tensors, settings = OPERATIONS[name]
    call(**tensors, **settings)
    for setting in settings:
        for value in JUNK:
            legal = (*LEGAL.get(setting, ()), *LEGAL.get((name, setting), ()))
            if _is(value, legal) or (value is None and setting in OPEN):
                continue
            if isinstance(value, torch.Tensor) and (name, setting) == ("apply", "kernel"):
                continue
            with pytest.raises(ArgumentError) as raised:
                call(**tensors, **{**settings, setting: value})
            message = str(raised.value)
            assert len(message.splitlines()) == 1, f"{setting}={value!r}"
            assert len(message) < 300, f"{setting}={value!r}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_tensor_refuses_what_it_is_not(name):
    call, tensors, settings = OPERATIONS[name]
    for tensor in tensors:
        for value in (None, "x", 3, [1, 2], tensors[tensor].to_sparse(), tensors[tensor].numpy()):
            if value is None and tensor == "bias":
                continue
            if isinstance(value, torch.Tensor) and tensor == "matrix" and "cheb" in name:
                continue  # of large graphs
            with pytest.raises(ArgumentError, match=r"^.{10,250}$"):
                call(**{**tensors, **settings, tensor: value})


@pytest.mark.parametrize(
    "name", [n for n, (_, tensors, _) in OPERATIONS.items() if tensors and n != "pad"]
)
def test_every_type_but_numbers_is_refused(name):
    call, tensors, settings = OPERATIONS[name]
    first = next(iter(tensors))
    integers = "max_pool" in name or name == "crop"
    for dtype in (torch.bool, torch.complex64, *[torch.int64] * (not integers)):
        with pytest.raises(ArgumentError):
            call(**{**tensors, **settings, first: tensors[first].to(dtype)})


@pytest.mark.parametrize(
    "name",
    [n for n, (_, tensors, _) in OPERATIONS.items() if "weight" in tensors and "x" in tensors],
)
def test_types_and_devices_do_not_mix(name):
    call, tensors, settings = OPERATIONS[name]
    for other in (torch.float64, "meta"):
        with pytest.raises(ArgumentError, match=r"convert one with \.to\(\)$"):
            call(**{**tensors, **settings, "x": tensors["x"].to(other)})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: conv.conv2d(X, torch.rand(2, 4, 3, 3), stride=1.5),
            "conv2d: stride=1.5 holds 1.5, expected integers of 1 to 2147483647",
        ),
        (
            lambda: conv.conv2d(X, torch.rand(2, 4, 3, 3), padding=True),
            "conv2d: padding=True holds True, expected integers of 0 to 2147483647",
        ),
        (
            lambda: conv.conv2d(X, torch.rand(2, 4, 3, 3), groups="2"),
            "conv2d: groups='2', expected an integer of 1 to 2147483647",
        ),
        (
            lambda: conv.conv2d("picture.png", torch.rand(2, 4, 3, 3)),
            "conv2d: the input is of type str, expected a tensor; convert with torch.as_tensor",
        ),
        (
            lambda: conv.conv2d(X.double(), torch.rand(2, 4, 3, 3)),
            (
                "conv2d: got an input of torch.float64 on cpu and a weight of torch.float32 on cpu; "
                "convert one with .to()"
            ),
        ),
        (
            lambda: conv.conv2d(X, torch.rand(2, 4, 3, 3, device="meta")),
            (
                "conv2d: got an input of torch.float32 on cpu and a weight of torch.float32 on meta; "
                "convert one with .to()"
            ),
        ),
        (
            lambda: pool.max_pool(X.bool(), kernel_size=2),
            "max_pool: got torch.bool, expected floating numbers or integers; convert with .float()",
        ),
        (
            lambda: pool.kmax_pool(X, k=1, dim=4),
            "kmax_pool: got dim=4 for 4 axes [2, 4, 7, 6]",
        ),
        (
            lambda: norm.dropout(X, p="half"),
            "dropout: p='half' is no number",
        ),
        (
            lambda: norm.batch_norm(X, None, None, training=True, eps=0),
            "batch_norm: eps=0, expected more than 0",
        ),
        (
            lambda: local.tabled_conv(X, torch.rand(1, 3, 3), table=3),
            (
                "tabled_conv: table=3, expected for every output map a list of the input maps "
                "that it reads"
            ),
        ),
        (
            lambda: graph.chebyshev_conv(X[0], torch.rand(3, 7, 2), LAPLACIAN, largest=0),
            "chebyshev_conv: largest=0, expected an eigenvalue of more than 0",
        ),
        (
            lambda: conv_layers.Conv2d(3, 4, 3, padding="vaild"),
            (
                "Conv2d: unknown padding 'vaild'; did you mean valid? "
                "There are: same, same_lower, same_upper, valid"
            ),
        ),
        (
            lambda: conv_layers.Conv2d(3, 4, 3, fill="mirror"),
            (
                "Conv2d: unknown fill 'mirror'; a number, or "
                "there are: circular, reflect, replicate, zeros"
            ),
        ),
        (
            lambda: conv_layers.Conv2d("3", 4, 3),
            "Conv2d: channels='3', expected an integer of 1 to 2147483647",
        ),
        (
            lambda: pool_layers.MaxPool2d(2, stride=0),
            "MaxPool2d: stride=0 must be at least 1 on every axis",
        ),
        (
            lambda: norm_layers.Dropout(1.5),
            "Dropout: p=1.5 is no probability, expected 0 to 1",
        ),
        (
            lambda: local_layers.LocalConv(0, 4, 3, size=(5, 5)),
            "LocalConv: in_channels=0, expected an integer of 1 to 2147483647",
        ),
        (
            lambda: shapes.conv_cost(7, out_channels=1, kernel_size=1),
            "size=7, expected a list of integers of at least 1",
        ),
        (
            lambda: shapes.out_size(7, kernel=0),
            "kernel=0, expected an integer of 1 to 2147483647",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        call()


NONE = X  # an array, where no array belongs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (lambda f=f: f(X, kernel_size=2, ceil_mode=1), f"{f.__name__}: ceil_mode=1, expected True or False")
            for f in (pool.max_pool, pool.avg_pool, pool.stochastic_pool)
        ),
        (lambda: pool.avg_pool(X, kernel_size=2, count_include_pad=NONE), "avg_pool: count_include_pad=Tensor [2, 4, 7, 6], expected True or False"),
        (lambda: pool.stochastic_pool(X, kernel_size=2, training="no"), "stochastic_pool: training='no', expected True or False"),
        (lambda: pool.stochastic_pool(X, kernel_size=2, generator=3), "stochastic_pool: generator=3, expected a torch.Generator or None"),
        (lambda: norm.dropout(X, generator=3), "dropout: generator=3, expected a torch.Generator or None"),
        (lambda: norm.dropout(X, training=NONE), "dropout: training=Tensor [2, 4, 7, 6], expected True or False"),
        (lambda: norm.batch_norm(X, X[0, :, 0, 0], X[0, :, 0, 0], training=2), "batch_norm: training=2, expected True or False"),
        (lambda: norm.batch_norm_decay(X, X[0, :, 0, 0], X[0, :, 0, 0], training=NONE), "batch_norm: training=Tensor [2, 4, 7, 6], expected True or False"),
        (lambda: init.he_(torch.rand(6, 4, 3, 3), fan_out=3), "init: fan_out=3, expected True or False"),
        (lambda: init.glorot_(torch.rand(6, 4, 3, 3), uniform=None), "init: uniform=None, expected True or False"),
        (lambda: init.lecun_(torch.rand(6, 4, 3, 3), generator=0), "init: generator=0, expected a torch.Generator or None"),
        (lambda: graph.laplacian(torch.eye(3), normalized=1), "laplacian: normalized=1, expected True or False"),
        (lambda: pool.gaussian_weights(10**20, 1.0), "gaussian_weights: cells=100000000000000000000, expected an integer of 1 to 2147483647"),
        (lambda: conv.conv(X.to_sparse(), torch.rand(6, 4, 3, 3)), "conv2d: the input is torch.sparse_coo; convert with .to_dense()"),
        (lambda: conv.conv(X, torch.rand(6, 4, 3, 3), fill=NONE), "conv2d: unknown fill Tensor [2, 4, 7, 6]; a number, or there are: circular, reflect, replicate, zeros"),
        (lambda: conv.conv(X, torch.rand(6, 4, 3, 3), stride=NONE), "conv2d: stride=Tensor [2, 4, 7, 6] holds Tensor [2, 4, 7, 6], expected integers of 1 to 2147483647"),
    ],
)  # fmt: skip
def test_flags_generators_and_arrays_where_none_belongs(call, message):
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        call()


def test_types_may_differ_where_pytorch_casts_them():
    weight = torch.rand(2, 4, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert conv.conv2d(X.bfloat16(), weight).dtype is torch.bfloat16


def test_sizes_left_open_while_exporting_are_integers():
    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
            return pool.adaptive_avg_pool(x, output_size=tuple(like.shape[2:]))

    free = {2: torch.export.Dim("high"), 3: torch.export.Dim("wide")}
    example = (X, torch.rand(1, 1, 4, 5))
    net = torch.export.export(Net(), example, dynamic_shapes={"x": None, "like": free}).module()
    assert net(X, torch.rand(1, 1, 6, 3)).shape == (2, 4, 6, 3)
