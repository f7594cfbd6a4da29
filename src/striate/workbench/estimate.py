"""Time and memory of a training, estimated before its first step: what its geometry says, and what is free.

What is free is the least of what the machine, its container and the limits of this process leave.
"""

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from striate import augment, inputs
from striate import plan as plan_room
from striate.data import Data
from striate.errors import NumericError, ShapeError, StriateError
from striate.measuring import Cost, measure, training_cost
from striate.measuring.findings import Finding
from striate.models import catalog
from striate.models.backbone import Backbone
from striate.tasks import named
from striate.text import rough
from striate.training import Estimate, Recipe
from striate.workbench.find_tiling import runs, tiling_of

CLOSE = 0.8  # share of the room from which a smaller form is named
FORM = ("bias", "checkerboard")  # findings about how a net is written
RULES = {"adamw": "adamw", "muon": "momentum", "sgd": "momentum"}


CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class FreeMemory:
    """Bytes that are left, and who says so."""

    bytes: int
    limit: str
    address_space: bool = False  # counts files that are mapped, too


def free_memory(device: str = "cpu") -> FreeMemory | None:
    """The least that is left; None where nothing tells."""
    if device.startswith("cuda"):
        import torch

        return FreeMemory(torch.cuda.mem_get_info(device)[0], f"memory of {device}")
    return min((*_machine(), *_container(), *_process()), key=lambda r: r.bytes, default=None)


def _machine() -> Iterator[FreeMemory]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    if "MemAvailable" in kib:
        yield FreeMemory(
            1024 * (kib["MemAvailable"] + kib.get("SwapFree", 0)), "memory of this machine"
        )


def _container() -> Iterator[FreeMemory]:
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
            yield FreeMemory(int(most) - used + given_back, "limit of this container")


def _process() -> Iterator[FreeMemory]:
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY and Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        taken = pages * os.sysconf("SC_PAGE_SIZE")
        yield FreeMemory(most - taken, "limit of this process, ulimit -v", address_space=True)


def estimate(net: nn.Module, recipe: Recipe, data: Data) -> Estimate:
    """Estimate time and memory of a training.

    Args:
        net: with its first weights or without; it is not touched.
        recipe: settled.
        data: opened, not decoded.

    Raises:
        ShapeError: a layer does not fit the pictures; the message names it and both sizes.
        NumericError: the memory cannot suffice.
    """
    shape = inputs.of(data.modality).planned_shape(data, recipe)
    findings = _findings(net, shape, recipe.batch or 1)
    flat = len(shape) == 3  # only pictures are divided
    tiling = tiling_of(net, shape) if named(data.task).maps and flat else None
    if tiling is not None and recipe.crop and not tiling.axes:
        _check_whole(net, data, shape)
    if tiling is not None and (recipe.crop or not tiling.exact):
        findings = (*findings, tiling.as_text())
    return replace(_memory(net, recipe, data, findings), tiling=tiling)


def _check_whole(net: nn.Module, data: Data, shape: tuple[int, ...]) -> None:
    """Refuse windows for a net of one size: after every epoch it would have to answer whole pictures.

    Raises:
        ShapeError: with a size that it cannot take.
    """
    size = tuple(int(side) for side in data.splits[data.held_out].shapes({})[0])
    if size != shape[1:] and not runs(net, (shape[0], *size)):
        learned, came = ("x".join(map(str, sides)) for sides in (shape[1:], size))
        raise ShapeError(
            f"crop={learned}: the net fails on whole pictures such as those of {came}, which it has to answer after "
            f"every epoch: use size={learned}, to which they are brought, or a fully convolutional net"
        )


def _memory(net: nn.Module, recipe: Recipe, data: Data, findings: tuple[str, ...]) -> Estimate:
    """The memory that a training takes against what is there."""
    shape = inputs.of(data.modality).planned_shape(data, recipe)
    try:
        needs = StepNeeds(net, recipe, data, shape)
        need = needs.need(needs.cost(recipe.accumulate))
    except StriateError:  # a net that cannot be followed is trained all the same
        return Estimate(findings)
    left = free_memory(plan_room.device(recipe.device))
    if left is None:
        return Estimate(findings, f"{_amount(need)} of memory", needs.smaller)
    parts = 1
    if need > needs.free(left):
        parts = needs.fitting(left) if recipe.oom == "halve" else 0
        if not parts:
            raise NumericError(_refusal(needs, need, left))
    words = f"{_amount(need)} of memory, {_amount(left.bytes)} are free"
    if parts > 1:
        words = f"{words} ({left.limit}): batches are computed in {recipe.accumulate * parts} parts"
    close = need > CLOSE * needs.free(left)
    return Estimate(findings, words, needs.smaller, parts, close=close)


@dataclass(frozen=True)
class StepNeeds:
    """What a step of a training needs of memory."""

    net: nn.Module
    recipe: Recipe
    data: Data
    shape: tuple[int, ...]

    def cost(self, parts: int, net: nn.Module | None = None, size: tuple[int, ...] = ()) -> Cost:
        """What a part of a batch costs, of this net or of another form of it."""
        return training_cost(
            self.net if net is None else net,
            (self.shape[0], *(size or self.shape[1:])),
            batch=-(-(self.recipe.batch or 1) // parts),
            optimizer=RULES[self.recipe.optimizer or "adamw"],
        )

    def need(self, cost: Cost) -> int:
        """Bytes at the peak: of the step, of the first weights, which are kept, and of their average."""
        copies = 2 if self.recipe.ema else 1
        shifted = self.pictures if augment.read(self.recipe.augment).shifts else 0
        return cost.peak + copies * cost.weights + shifted

    @property
    def pictures(self) -> int:
        """Bytes of the decoded pictures of the training, which are mapped from a file."""
        fit = named(self.data.task).fit
        return inputs.of(self.data.modality).planned_bytes(self.data, self.recipe, fit)

    def free(self, left: FreeMemory) -> int:
        """What is left of a room once the pictures are mapped, where that counts."""
        return left.bytes - (self.pictures if left.address_space else 0)

    def fitting(self, left: FreeMemory) -> int:
        """In how many times as many parts a batch fits; 0 if in none."""
        parts, batch = 2, (self.recipe.batch or 1) // self.recipe.accumulate
        while batch >= 2 * parts:
            if self.need(self.cost(self.recipe.accumulate * parts)) <= self.free(left):
                return parts
            parts *= 2
        return 0

    def smaller(self, seconds: float | None) -> list[str]:
        """What smaller forms of the net would take; `seconds` is what this one will."""
        now = self.cost(self.recipe.accumulate)
        found: list[str] = []
        for words, cost in self._forms():
            share = (cost.forward + cost.backward) / max(now.forward + now.backward, 1)
            time = f"{rough(seconds * share)}, " if seconds else ""
            found.append(f"{words} {time}{_amount(self.need(cost))}")
        parts = 2 * self.recipe.accumulate
        if (self.recipe.batch or 1) >= 2 * parts:
            found.append(f"accumulate={parts} {_amount(self.need(self.cost(parts)))}")
        return found

    def _forms(self) -> list[tuple[str, Cost]]:
        """Half the channels, or half the sides, of a net of the catalogue."""
        half = tuple(max(1, side // 2) for side in self.shape[1:])
        size = "x".join(map(str, half if len(set(half)) > 1 else half[:1]))
        forms = [(f"width={self.recipe.width / 2:g}", self.shape[1:], self.recipe.width / 2)]
        if self.recipe.size:
            forms.append((f"size={size}", half, self.recipe.width))
        found: list[tuple[str, Cost]] = []
        task = named(self.data.task).of(self.data, self.recipe)
        for words, sides, width in forms if self.recipe.net else []:
            try:
                net = catalog.build(
                    self.recipe.net or "",
                    in_channels=self.shape[0],
                    num_classes=task.head().get("num_classes"),
                    size=sides,
                    width=width,
                    **self.recipe.options,
                    init=False,
                )
                found.append((words, self.cost(self.recipe.accumulate, net, sides)))
            except StriateError:
                continue  # a net of one size, or without a width
        return found


def _findings(net: nn.Module, shape: tuple[int, ...], batch: int) -> tuple[str, ...]:
    """What the geometry doctor says that is worth a change before training.

    Fields wider than the input are left to `striate measure`: the best nets have them, and train well. A net
    that the doctor cannot follow is trained all the same.
    """
    try:
        sheet = measure(net, shape, batch=batch)
    except ShapeError:
        raise
    except StriateError:
        return ()
    return tuple(finding.as_text() for finding in sheet.findings if _worth(net, finding))


def _worth(net: nn.Module, finding: Finding) -> bool:
    """Whether something can be done about a finding: nets of the catalogue have the form that was published."""
    return finding.kind not in ("field", *(FORM if isinstance(net, Backbone) else ()))


def _refusal(needs: StepNeeds, need: int, left: FreeMemory) -> str:
    recipe = needs.recipe
    picture = "x".join(map(str, needs.shape))
    parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
    ways = "; ".join(needs.smaller(None))
    return (
        f"batch={recipe.batch} of {picture}{parts} takes {_amount(need)} of memory, {_amount(left.bytes)} are free "
        f"({left.limit}): {f'{ways}; ' if ways else ''}or oom=halve, a smaller batch="
    )


def _amount(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(count, 0) / 2**20:.0f} MiB"
