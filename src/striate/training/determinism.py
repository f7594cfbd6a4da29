"""Trainings that are bit-equal when they are repeated: only kernels that give the same sum every time."""

import copy
import os
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import RecipeError
from striate.plan import Plan
from striate.probe import running
from striate.tasks import Task

WORKSPACE = (
    "CUBLAS_WORKSPACE_CONFIG"  # without it matrix products on NVIDIA GPUs differ from run to run
)


@contextmanager
def deterministic(wanted: bool) -> Generator[None]:
    """Forbid kernels whose results differ from run to run while the block runs; as before afterwards."""
    if not wanted:
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    tuned, workspace = torch.backends.cudnn.benchmark, os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = tuned
        if workspace is None:
            os.environ.pop(WORKSPACE, None)


def check_deterministic(net: nn.Module, x: Tensor, target: Tensor, task: Task) -> None:
    """One step of a copy, so that a layer without a deterministic kernel is refused before the first.

    Args:
        net: left as it is.
        x: inputs [B, C, H, W].
        target: what belongs to them.
        task: gives the loss.

    Raises:
        RecipeError: naming the layer and the operation.
    """
    trial = copy.deepcopy(net).to(x.device).train()
    with running(trial) as at:
        try:
            task.learn(trial, Plan(x.device.type).batch(x), target).loss.backward()
        except Exception as error:  # a net that fails anyhow is told so by others
            op, found, _ = str(error).partition(" does not have a deterministic implementation")
            if not found:
                return
            raise RecipeError(
                f"deterministic=true: {at.path or 'the net itself'} ({at.kind}) runs {op.split()[-1]}, which has "
                f"no deterministic kernel on {x.device.type}: use another layer, or leave deterministic out"
            ) from error
