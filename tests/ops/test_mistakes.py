"""What is no setting at all: a flag, a generator, a number of cells, an array where a number belongs."""

# pyright: reportArgumentType=false

import pytest
import torch

from striate.errors import ArgumentError, told
from striate.ops import conv, graph, init, norm, pool

X = torch.ones(2, 4, 6, 6)
W = torch.ones(4, 4, 3, 3)
POOLS = [pool.max_pool, pool.avg_pool, pool.stochastic_pool]


@pytest.mark.plain
@pytest.mark.parametrize(
    ("call", "message"),
    [
        *(
            (lambda f=f: f(X, kernel_size=2, ceil_mode=1), f"{f.__name__}: ceil_mode=1, expected True or False")
            for f in POOLS
        ),
        (lambda: pool.avg_pool(X, kernel_size=2, count_include_pad=X), "avg_pool: count_include_pad=Tensor [2, 4, 6, 6], expected True or False"),
        (lambda: pool.stochastic_pool(X, kernel_size=2, training="no"), "stochastic_pool: training='no', expected True or False"),
        (lambda: pool.stochastic_pool(X, kernel_size=2, generator=3), "stochastic_pool: generator=3, expected a torch.Generator or None"),
        (lambda: norm.dropout(X, generator=3), "dropout: generator=3, expected a torch.Generator or None"),
        (lambda: norm.dropout(X, training=X), "dropout: training=Tensor [2, 4, 6, 6], expected True or False"),
        (lambda: norm.batch_norm(X, X[0, :, 0, 0], X[0, :, 0, 0], training=2), "batch_norm: training=2, expected True or False"),
        (lambda: norm.batch_norm_decay(X, X[0, :, 0, 0], X[0, :, 0, 0], training=X), "batch_norm: training=Tensor [2, 4, 6, 6], expected True or False"),
        (lambda: init.he_(W.clone(), fan_out=3), "init: fan_out=3, expected True or False"),
        (lambda: init.glorot_(W.clone(), uniform=None), "init: uniform=None, expected True or False"),
        (lambda: init.lecun_(W.clone(), generator=0), "init: generator=0, expected a torch.Generator or None"),
        (lambda: graph.laplacian(torch.eye(3), normalized=1), "laplacian: normalized=1, expected True or False"),
        (lambda: pool.gaussian_weights(10**20, 1.0), "gaussian_weights: cells=100000000000000000000, expected an integer of 1 to 2147483647"),
        (lambda: conv.conv(X.to_sparse(), W), "conv2d: the input is torch.sparse_coo; convert with .to_dense()"),
        (lambda: conv.conv(X, W, fill=X), "conv2d: unknown fill Tensor [2, 4, 6, 6]; a number, or there are: circular, reflect, replicate, zeros"),
        (lambda: conv.conv(X, W, stride=X), "conv2d: stride=Tensor [2, 4, 6, 6] holds Tensor [2, 4, 6, 6], expected integers of 1 to 2147483647"),
    ],
)  # fmt: skip
def test_what_is_no_setting_is_told_in_one_line(call, message):
    with pytest.raises(ArgumentError) as said:
        call()
    assert str(said.value) == message


def test_a_value_is_told_in_one_short_line():
    assert told(list(range(1000))) == str(list(range(1000)))[:120] + "..."
    assert told("a\nb") == "'a\\nb'"
    assert told(torch.ones(())) == "tensor(1.)"
