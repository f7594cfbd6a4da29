"""Several processes on this machine, started by PyTorch's own launcher, and what became of them.

A folder of its own holds what the processes are to do and, at the end, what came of it: `outcome.json` ends the
launch, whatever the launcher still starts. A process that is killed has none, so the launcher starts all again.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate import errors
from striate import plan as plan_room
from striate.data import Data
from striate.errors import (
    ArgumentError,
    PeerError,
    RecipeError,
    Stopped,
    StriateError,
    UsageError,
)
from striate.files import scratch
from striate.runs import Run
from striate.runs import folder as folder_of
from striate.runs.folder import write_json
from striate.training import Recipe, check, distributed, read_recipe
from striate.training.distributed import terminable

RESTARTS = 3
WORKER = "striate.workbench.worker"
JOB, OUTCOME = "job.json", "outcome.json"
SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


def train(
    data: str | Path | Data,
    recipe: Recipe,
    *,
    own: nn.Module | None = None,
    out: Path = Path("runs"),
    name: str | None = None,
) -> Run | None:
    """Train in as many processes as the recipe's `devices` asks for; None where this one is to do it alone.

    Raises:
        ArgumentError: net or data are in memory, where other processes cannot have them.
        StriateError: as `launch`.
    """
    if not _wanted(recipe.devices):
        return None
    if own is not None or isinstance(data, Data):
        raise ArgumentError(
            f"devices={recipe.devices}: other processes cannot be given a net or data that are in memory: name "
            "them (package.module:factory, a path), or start your script with torchrun"
        )
    check(recipe, out)
    folder_of.sweep(out)
    job = {
        "data": str(data),
        "recipe": recipe.as_yaml(),
        "out": str(out),
        "name": name,
        "began": time.monotonic(),
    }
    return Run(launch(job, recipe.devices or 1, recipe.device))


def resume(
    path: str | Path,
    *,
    net: str | None = None,
    devices: int | None = None,
    allow: Sequence[str] = (),
) -> Run | None:
    """Resume a training in several processes; None where this one is to do it alone.

    Args:
        path: the run folder.
        net: `package.module:factory` of a net of the user's own.
        devices: processes; as many as the training began with if not given.
        allow: what may differ from the beginning; see `striate.training.resume`.
    """
    try:
        recipe = read_recipe(str(Path(path) / "args.yaml"))
    except RecipeError:  # missing or damaged, of which `striate.training.resume` says more
        recipe = Recipe()
    count = devices or recipe.devices
    if not _wanted(count):
        return None
    job = {"resume": str(path), "net": net, "allow": list(allow)}
    return Run(launch(job, count or 1, recipe.device))


def _wanted(devices: int | None) -> bool:
    """Whether processes are to be started, and this is none of them."""
    return devices is not None and devices > 1 and not distributed.launched()


def launch(job: Mapping[str, Any], count: int, device: str) -> Path:
    """Train in `count` processes, and give the run folder.

    A process that is killed ends them all, and all begin again from the last checkpoint, at most three times. A
    signal reaches all of them: they write a checkpoint and end.

    Args:
        job: what `striate.workbench.worker` reads.
        count: processes, one a GPU where the device is CUDA.
        device: of the recipe.

    Raises:
        UsageError: there are fewer GPUs.
        PeerError: processes were killed once more than they are started again.
        StriateError: what a single process would raise.
    """
    _check(count, plan_room.device(device))
    with terminable(), scratch() as folder:
        write_json(folder / JOB, dict(job))
        with _environment(count), _handlers():
            ended = _run(folder, count)
        if not (folder / OUTCOME).exists():
            folder_of.sweep(Path(job.get("out", "")))
            raise ended
        return _read(json.loads((folder / OUTCOME).read_text(encoding="utf-8")))


def _check(count: int, device: str) -> None:
    if device == "mps" or ":" in device:
        raise UsageError(f"device={device} is one device: leave devices={count} out")
    if device == "cuda" and count > torch.cuda.device_count():
        raise UsageError(
            f"devices={count}: this machine has {torch.cuda.device_count()} GPUs; one process needs one"
        )


def _run(folder: Path, count: int) -> StriateError:
    """Run all processes to their end; what is to be said where they left no outcome."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=RESTARTS,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder)),  # else it leaves a folder of its own
    )
    try:
        elastic_launch(config, sys.executable)("-m", WORKER, str(folder))
    except SignalException as error:
        return Stopped("stopped before the first step", int(error.sigval))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        return PeerError(
            f"processes were lost {RESTARTS + 1} times, last number {rank} of {count} with status {failure.exitcode} (-9: "
            "killed, often because the memory ran out); a training that had begun goes on from its last checkpoint with --resume"
        )
    return PeerError("the processes ended without a word")


def _read(outcome: Mapping[str, Any]) -> Path:
    """The run folder, or the error that a process met."""
    if "run" in outcome:
        return Path(outcome["run"])
    if outcome["kind"] == Stopped.__name__:
        raise Stopped(outcome["message"], outcome["status"] - 128)
    raise getattr(errors, outcome["kind"], StriateError)(outcome["message"])


@contextmanager
def _environment(count: int) -> Generator[None]:
    """What the processes inherit: the cores shared among them, and connections within this machine only.

    With the launcher's store shared, four of ten restarts hang: the ports of the attempt before are taken for alive.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    loop = "lo" if sys.platform == "linux" else "lo0"
    given = {
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        "OMP_NUM_THREADS": str(max(1, cores // count)),
        "GLOO_SOCKET_IFNAME": loop,
        "NCCL_SOCKET_IFNAME": loop,
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # a lost process is told in one line, not in a stack of every other
    }
    mine = {key: value for key, value in given.items() if key not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for key in mine:
            os.environ.pop(key, None)


@contextmanager
def _handlers() -> Generator[None]:
    """Give the caller its signal handlers back, which the launcher replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
