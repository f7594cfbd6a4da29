"""A layer's kernels and maps at the checkpoints that a run keeps. C channels, O outputs, I inputs, H W positions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from striate.errors import ArgumentError, CheckpointError, StriateError
from striate.probe import as_eval, layer_output
from striate.runs import Run, checkpoint
from striate.runs.config import Config
from striate.training.state import kept

F32 = NDArray[np.float32]
MOST_KERNELS = 4096


def steps_of(path: Path) -> list[int]:
    """The steps of the checkpoints that a run keeps now."""
    names = (folder.name for folder in (path / "checkpoints").glob("step-*"))
    return sorted(int(name[5:]) for name in names if name[5:].isdecimal())


@dataclass(frozen=True, eq=False)
class Moment:
    """A layer at one checkpoint.

    Attributes:
        step: of the checkpoint.
        layer: its path.
        layers: all that have kernels, in the net's order.
        weights: float32 [O, I, H, W]; a linear layer's are [O, I, 1, 1].
        correlation: of its weights with those of the newest checkpoint.
        of: how many kernels there are.
    """

    step: int
    layer: str
    layers: tuple[str, ...]
    weights: F32
    correlation: float
    of: int


def kernels(
    path: Path, step: int | None = None, layer: str | None = None, net: nn.Module | None = None
) -> Moment:
    """A layer's kernels at a checkpoint.

    Args:
        path: a run folder.
        step: of the checkpoint; the newest if not given.
        layer: by its path; the first with kernels if not given.
        net: the user's own net, for a run that trained one; its layers' order is that of the weights' names without it.

    Raises:
        CheckpointError: no such checkpoint: a training keeps the newest two and the best unless `keep=` says more.
        ArgumentError: the layer has no kernels.
    """
    steps = steps_of(path)
    if not steps:
        raise CheckpointError(f"{path} kept no checkpoint yet")
    at = steps[-1] if step is None else step
    weights = _weights(path, at)
    layers = [
        name for name in _order(path, weights, net) if 3 <= weights[f"{name}.weight"].ndim <= 4
    ]
    if not layers:
        raise ArgumentError(f"{path}: no layer has kernels")
    chosen = layers[0] if layer is None else layer
    if chosen not in layers:
        raise ArgumentError(f"layer={chosen}: no kernels there; there are {', '.join(layers[:8])}")
    here = weights[f"{chosen}.weight"].float()
    last = here if at == steps[-1] else _weights(path, steps[-1])[f"{chosen}.weight"].float()
    shaped = here if here.ndim == 4 else here[:, :, None]
    most = max(1, MOST_KERNELS // shaped.shape[1])
    return Moment(
        at, chosen, tuple(layers), shaped[:most].numpy(), _correlation(here, last), len(shaped)
    )


def _correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    if torch.equal(a, b):
        return 1.0
    if a.shape != b.shape or a.numel() < 2:
        return float("nan")
    return float(np.corrcoef(a.numpy().ravel(), b.numpy().ravel())[0, 1])


def _weights(path: Path, step: int) -> dict[str, torch.Tensor]:
    folder = path / "checkpoints" / f"step-{step:08d}"
    if not folder.is_dir():
        known = ", ".join(map(str, steps_of(path)))
        raise CheckpointError(
            f"step={step}: no checkpoint of that step is there; there are {known}"
        )
    return kept(checkpoint.load(folder).tensors)


def _order(path: Path, weights: Mapping[str, torch.Tensor], net: nn.Module | None) -> list[str]:
    """Layers with weights as the net names them; by their names where the net is not to be had."""
    names = [name.removesuffix(".weight") for name in weights if name.endswith(".weight")]
    try:
        built = net or Config.read(path).net.build()
    except (StriateError, TypeError, ValueError):
        return sorted(names)
    return [name for name, _ in built.named_modules() if name in set(names)]


def maps(
    path: Path, layer: str, number_of: int, step: int | None = None, net: nn.Module | None = None
) -> F32:
    """A layer's maps [C, H, W] of one held-out item at a checkpoint.

    Args:
        path: a run folder.
        layer: by its path.
        number_of: the item, among the held-out ones.
        step: of the checkpoint; the newest if not given.
        net: the user's own net, for a run that trained one.

    Raises:
        ArgumentError: no such item or layer, or one that gives no maps.
        CheckpointError: no such checkpoint.
    """
    run = Run(path, net)
    config = run.config
    twin = config.net.own_net(net) if net is not None else config.net.build()
    steps = steps_of(path)
    if not steps:
        raise CheckpointError(f"{path} kept no checkpoint yet")
    twin.load_state_dict(_weights(path, steps[-1] if step is None else step))
    data = run.open_data()
    arrays = config.preprocessing.matched(data).arrays(
        data.held_out, form=config.preprocessing.form
    )
    if not 0 <= number_of < len(arrays):
        raise ArgumentError(f"item={number_of}: there are items 0 to {len(arrays) - 1}")
    stored = torch.from_numpy(np.array(arrays.inputs[number_of : number_of + 1]))
    x = config.preprocessing.normalise(config.preprocessing.centre(stored))
    with as_eval(twin), torch.inference_mode():
        found = layer_output(twin, layer, x)[0].float()
    if found.ndim not in (2, 3):
        raise ArgumentError(
            f"{layer} gives {tuple(found.shape)}, no maps (channels, height, width)"
        )
    return (found if found.ndim == 3 else found[:, None]).numpy()
