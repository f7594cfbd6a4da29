"""How much memory this process may still take: the least of what the machine, its container and its limits leave."""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """Bytes that are left, and who says so."""

    bytes: int
    limit: str
    address_space: bool = False  # counts files that are mapped, too


def room(device: str = "cpu") -> Room | None:
    """The least that is left; None where nothing tells."""
    if device.startswith("cuda"):
        import torch

        return Room(torch.cuda.mem_get_info(device)[0], f"memory of {device}")
    return min((*_machine(), *_container(), *_process()), key=lambda r: r.bytes, default=None)


def _machine() -> Iterator[Room]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    if "MemAvailable" in kib:
        yield Room(1024 * (kib["MemAvailable"] + kib.get("SwapFree", 0)), "memory of this machine")


def _container() -> Iterator[Room]:
    """Of control groups of version 2, this one's and those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    mine = next((line[3:] for line in lines if line.startswith("0::")), "/")
    here = CGROUPS / mine.lstrip("/")
    for group in (here, *here.parents):
        if not group.is_relative_to(CGROUPS):
            return
        try:
            most = (group / "memory.max").read_text(encoding="ascii").strip()
            used = int((group / "memory.current").read_text(encoding="ascii"))
            stat = (group / "memory.stat").read_text(encoding="ascii").split()
        except (OSError, ValueError):
            continue
        if most != "max":
            given_back = int(stat[stat.index("inactive_file") + 1])
            yield Room(int(most) - used + given_back, "limit of this container")


def _process() -> Iterator[Room]:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY and Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * os.sysconf("SC_PAGE_SIZE")
        yield Room(most - taken, "limit of this process, ulimit -v", address_space=True)
