"""What the benchmarks share: contenders timed in turns, Striate's side prepared as `striate train` does it.

Each script prints a row a comparison, and at the end one JSON document with the machine and all rows.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from striate.data import Data
from striate.plan import kept_pages
from striate.training import loop, read_recipe
from striate.training.defaults import with_defaults
from striate.training.logs import Health
from striate.training.prepare import chosen_net, prepare
from striate.training.record import Job, Progress
from striate.training.state import State, Totals

Call = Callable[[], object]
Row = dict[str, Any]


clock = time.perf_counter


def one_core() -> None:
    """Time what one core spends on this process, so that other work on the machine does not count."""
    global clock  # noqa: PLW0603 - one process, one clock
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    clock = time.process_time


def seconds(call: Call) -> float:
    """Of one call."""
    start = clock()
    call()
    return clock() - start


def in_turns(contenders: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call; each runs once beforehand, and every other round is in reverse order."""
    order = list(contenders)
    for name in order:
        contenders[name]()
    times: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(rounds):
        for name in order:
            times[name].append(seconds(contenders[name]))
        order.reverse()
    return times


def compared(
    work: str, times: Mapping[str, list[float]], items: int, unit: str = "/s"
) -> list[Row]:
    """A row for each peer of the first contender; the quartiles are of the ratios of single rounds."""
    mine, *peers = times
    rows: list[Row] = []
    for peer in peers:
        ratios = [p / m for p, m in zip(times[peer], times[mine], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        ours, theirs = (statistics.median(times[name]) for name in (mine, peer))
        rows.append(
            {
                "work": work,
                "ours": round(items / ours, 1),
                "peer": round(items / theirs, 1),
                "unit": f"items{unit}",
                "peer_name": peer,
                "ratio": round(theirs / ours, 2),
                "quartiles": [round(low, 2), round(high, 2)],
                "runs": len(ratios),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def matrix_rate(precision: torch.dtype, side: int = 2048) -> float:
    """Multiply-adds a second of a square matrix product, the best of nine."""
    a = torch.rand(side, side).to(precision)
    return side**3 / min(seconds(lambda: a @ a) for _ in range(9))


def machine(*peers: str) -> Row:
    """What ran, and on what."""
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bf16 instructions": torch.cpu._is_avx512_bf16_supported(),
        "threads": torch.get_num_threads(),
        "clock": clock.__name__,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("striate", "torch", *peers)},
        "gmac_per_s": {
            name: round(matrix_rate(kind) / 1e9, 1)
            for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        },
    }


def report(machine: Row, rows: Iterable[Row]) -> None:
    """The last line of a benchmark."""
    print(json.dumps({"machine": machine, "rows": list(rows)}))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from source" if name == "striate" else "absent"


# --- Striate's side ------------------------------------------------------------------------------


def prepared(data: Data, settings: Mapping[str, Any]) -> tuple[Job, State]:
    """All that `striate train` does before the first step, in a folder of its own."""
    recipe = with_defaults(read_recipe("quick", dict(settings)), data)
    spec, net = chosen_net(None, recipe, data)
    job = prepare(Path(mkdtemp()), data, recipe, spec, net, Progress())
    return job, State.begin(net, recipe, job.plan)


def first_items(job: Job, count: int) -> Job:
    """The same with the first items of the training alone."""
    batches = job.batches
    few = replace(batches, inputs=batches.inputs[:count], targets=batches.targets[:count])
    return replace(job, batches=few)


class _EndedError(Exception):
    """An epoch is over."""


def epoch(job: Job, state: State, totals: list[Totals] | None = None) -> Call:
    """One more epoch of Striate's loop at each call: views, metrics, checks, and health every so many steps.

    Checkpoints and held-out items are left out (see overhead.py). `totals` receives what the loop counted.
    """
    kept = [] if totals is None else totals
    recipe = job.recipe.model_copy(update={"epochs": 1000})
    health = Health(job.path, recipe.health, job.plan, job.progress.say)
    setting = loop.Setting(job.batches, job.task, recipe, job.plan, health, time.perf_counter)

    def ended(state: State, _epoch: int) -> None:
        kept.append(state.totals)
        state.totals = Totals()
        raise _EndedError

    def run() -> None:
        with suppress(_EndedError), kept_pages(give_back=False):  # as between a training's epochs
            loop.run(state, setting, after_step=lambda _state: None, after_epoch=ended)

    return run


def plan_words(job: Job) -> str:
    """The plan in two words."""
    return f"{job.plan.layout} {job.plan.precision}"
