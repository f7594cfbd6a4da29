"""Reproducibility: seeds of everything random, and trainings that are bit-equal when they are repeated.

Every random number is a function of the seed and of where it is used. Nothing is remembered between steps, so a training
that is resumed at any step draws what it would have drawn, and the order of items does not depend on how many processes
share them. The only file that sets a global seed.
"""

import copy
import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from striate.errors import RecipeError
from striate.plan import Plan
from striate.probe import running
from striate.tasks import Task


def derive(seed: int, *place: int | str) -> int:
    """A 63-bit seed for one place of a training, such as `derive(0, "order", epoch)`."""
    text = "/".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *place: int | str) -> torch.Generator:
    """A CPU generator for one place of a training."""
    return torch.Generator().manual_seed(derive(seed, *place))


def seed_everything(seed: int, *place: int | str) -> None:
    """Seed PyTorch's own generators, which dropout draws from.

    `torch.manual_seed` does the same for every kind of device there could be and takes 0.2 ms, a
    thirtieth of a small net's step.
    """
    value = derive(seed, *place)
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)


@contextmanager
def fork_rng() -> Generator[None]:
    """Give the caller its random state back at the end."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


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
