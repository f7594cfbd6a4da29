"""Normalisation and activations, written as their formulas. Arrays [N, C, *space]."""

import numpy as np

from twins.conv import Array


def batch_norm(x: Array, mean: Array, var: Array, eps: float) -> Array:
    """(x - mean) / sqrt(var + eps), channel by channel."""
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        out[:, c] = (x[:, c] - mean[c]) / np.sqrt(var[c] + eps)
    return out


def statistics(x: Array) -> tuple[Array, Array]:
    """Mean and population variance of every channel, from sums."""
    mean, var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for c in range(x.shape[1]):
        values = x[:, c].ravel()
        mean[c] = values.sum() / len(values)
        var[c] = ((values - mean[c]) ** 2).sum() / len(values)
    return mean, var


def local_response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """Gives x / (k + alpha sum of squares)^beta over channels c - floor((size - 1) / 2) to c + floor(size / 2)."""
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        out[:, c] = x[:, c] / (k + alpha * (near**2).sum(1)) ** beta
    return out


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def tanh(x: Array) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


def scaled_tanh(x: Array) -> Array:
    """1.7159 tanh(2x / 3)."""
    return 1.7159 * tanh(2 * x / 3)


def glu(x: Array) -> Array:
    """The first half of the channels times the sigmoid of the second."""
    first, second = np.split(x, 2, 1)
    return first * sigmoid(second)
