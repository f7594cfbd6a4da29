"""Pooling of every kind; what PyTorch has a kernel for is its own, with any padding added."""

from striate.ops.pool.adaptive import (
    adaptive_avg_pool,
    adaptive_max_pool,
    global_avg_pool,
    global_max_pool,
    kmax_pool,
    pyramid_pool,
)
from striate.ops.pool.average import (
    avg_pool,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    gaussian_weights,
    weighted_avg_pool,
)
from striate.ops.pool.lp import global_lp_pool, lp_pool
from striate.ops.pool.maximum import (
    max_pool,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_pool_with_indices,
)
from striate.ops.pool.stochastic import stochastic_pool

__all__ = [
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "avg_pool",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "gaussian_weights",
    "global_avg_pool",
    "global_lp_pool",
    "global_max_pool",
    "kmax_pool",
    "lp_pool",
    "max_pool",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool_with_indices",
    "pyramid_pool",
    "stochastic_pool",
    "weighted_avg_pool",
]
