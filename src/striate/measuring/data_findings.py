"""Findings that need data: units that never answer, and pictures that are not scaled as the weights expect."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.measuring.findings import Finding
from striate.probe import as_eval, watch

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Threshold)
APART = (
    0.25  # black or white further off than this, in units of the net's input, is another scaling
)


def dead_units(net: nn.Module, x: Tensor) -> tuple[Finding, ...]:
    """Channels after a rectifier that are zero everywhere for every item; the net is as before afterwards.

    Args:
        net: any net whose rectifiers are modules.
        x: items as the net takes them; the more, the surer. None of them moves a statistic.
    """
    paths = [path for path, module in net.named_modules() if isinstance(module, RECTIFIERS)]
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        as_eval(net),
        watch(net, paths) as seen,
    ):
        net(x)
    found: list[Finding] = []
    for path in paths:
        # A module that is called several times has units of its own at every call.
        for call, maps in enumerate(seen.activations[path]):
            dead = int((maps.movedim(1, 0).flatten(1) == 0).all(1).sum())
            if dead:
                which = f" at call {call + 1}" if len(seen.activations[path]) > 1 else ""
                found.append(
                    Finding(
                        "dead",
                        path,
                        f"{dead} of {maps.shape[1]} channels are zero for all {len(x)} items{which}",
                        "train with a smaller rate or warm up longer, or use a leaky rectifier",
                    )
                )
    return tuple(found)


def wrong_normalisation(
    given: tuple[Sequence[float], Sequence[float]],
    expected: tuple[Sequence[float], Sequence[float]],
) -> Finding | None:
    """Whether pictures are scaled otherwise than those that the weights were trained on.

    Compared is what becomes of black and of white, channel by channel.

    Args:
        given: mean and standard deviation a channel that the pictures are normalised with, of values 0..1.
        expected: those of the weights, as `striate.weights` states them.

    Raises:
        ArgumentError: unequal numbers of channels.
    """
    if len({len(numbers) for pair in (given, expected) for numbers in pair}) != 1:
        raise ArgumentError(
            f"the pictures have {len(given[0])} means and the weights {len(expected[0])}; "
            "give one mean and one deviation a channel for both"
        )
    off = max(
        abs((value - m) / s - (value - em) / es)
        for m, s, em, es in zip(*given, *expected, strict=True)
        for value in (0.0, 1.0)
    )
    if off <= APART:
        return None
    mean, std = (", ".join(f"{number:g}" for number in numbers) for numbers in expected)
    return Finding(
        "normalisation",
        "",
        f"black or white is off by {off:.2g} from what the weights were trained on",
        f"normalise with mean {mean} and standard deviation {std}",
    )
