"""A net's answers to many items, a batch at a time. B batch, N items."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.data import Arrays, Targets
from striate.errors import ShapeError, out_of_memory
from striate.inputs import Preprocessing
from striate.plan import Plan
from striate.plan.tiles import UNKNOWN, Piece, Tiling, gathered, pieces
from striate.probe import as_eval
from striate.tasks import Meter, Task
from striate.tasks.task import Size

# Activations of one batch stay near the second-level caches for small inputs, and within memory for large ones.
VALUES_A_BATCH = 400_000
MOST = 1000  # items of a batch


@dataclass(frozen=True)
class Net:
    """A net as it is used: on the plan's device and in its layout, with what comes before and after it."""

    net: nn.Module
    task: Task
    preprocessing: Preprocessing
    plan: Plan
    tiling: Tiling = UNKNOWN

    def batch_size(self, inputs: Any) -> int:
        """Items that are answered together; one where they differ in size."""
        values = self.preprocessing.values(inputs.shape)
        return max(1, min(MOST, VALUES_A_BATCH // values)) if values else 1

    def outputs(self, stored: NDArray[Any]) -> Any:
        """What the net says of stored inputs [B, ...], of maps of all of the picture; call it inside `used`."""
        if parts := self.preprocessing.parts(stored.shape):
            return self._averaged(stored, parts)
        if not self._extends:
            return self._said(torch.from_numpy(np.require(stored, requirements=["C", "W"])))
        size = (stored.shape[1], stored.shape[2])
        return gathered(self.pieces(stored), size)

    def _averaged(self, stored: NDArray[Any], parts: Sequence[tuple[slice, ...]]) -> Tensor:
        """The mean of the maps of overlapping windows of inputs [B, ..., C].

        Raises:
            ShapeError: maps of another size than the window.
        """
        total, count = torch.empty(0), torch.zeros(stored.shape[1:-1])
        for window in parts:
            cut = np.ascontiguousarray(stored[(slice(None), *window)])
            maps = self._said(torch.from_numpy(cut)).float().cpu()
            if maps.shape[2:] != cut.shape[1:-1]:
                came, wanted = (
                    "x".join(map(str, each)) for each in (maps.shape[2:], cut.shape[1:-1])
                )
                raise ShapeError(
                    f"the net answers windows of {wanted} with maps of {came}: windows need a padded net, such as unet3d_same"
                )
            if not total.numel():
                total = maps.new_zeros((*maps.shape[:2], *stored.shape[1:-1]))
            total[(slice(None), slice(None), *window)] += maps
            count[window] += 1
        return total / count

    def pieces(self, stored: NDArray[Any]) -> Iterator[Piece]:
        """The same of pictures [B, H, W, C] part by part, where the task has maps and the net's tiling is known."""

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            part = _taken(_taken(stored, 1, rows), 2, columns)
            return self._said(torch.from_numpy(np.array(part)))  # a copy: it may be read-only

        return pieces(read, (stored.shape[1], stored.shape[2]), self.tiling)

    @property
    def _extends(self) -> bool:
        """Whether pictures of any size are brought to what the net takes."""
        return self.task.maps and bool(self.tiling.axes) and self.preprocessing.own_size

    def divides(self, stored: NDArray[Any], sizes: Sequence[tuple[int, ...]]) -> bool:
        """Whether stored inputs are one picture in its own size that is answered part by part."""
        if not self._extends or len(stored) != 1:
            return False
        own = (stored.shape[1], stored.shape[2])
        return own == tuple(sizes[0]) and self.tiling.divides(own)

    def note(self, size: Size) -> str:
        """What is to be said of the answer to a picture of this size; mostly nothing."""
        if not self._extends or self.tiling.exact or not self.tiling.divides(size):
            return ""
        return f"answered in tiles that are blended: {self.tiling.why}"

    def _said(self, x: Tensor) -> Any:
        batch = self._batch(x.to(self.plan.device))
        try:
            with self.plan.autocast():
                return self.task.outputs(self.net, batch)
        except RuntimeError as error:
            trained = self.preprocessing.shape[1:]
            if tuple(batch.shape[2:]) == trained or not self.task.maps or out_of_memory(error):
                raise
            came, known = ("x".join(map(str, size)) for size in (batch.shape[2:], trained))
            reason = " ".join(str(error).split())[:200]
            raise ShapeError(
                f"the net cannot take a picture of {came} ({reason}): it learned from {known}; resize or pad the "
                "picture, or train with size= instead of crop="
            ) from error

    def viewed(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored inputs [B, ...] as evaluation sees them, before they are normalised."""
        return self.preprocessing.centre(torch.from_numpy(np.array(stored))).numpy()

    def _batch(self, x: Tensor) -> Tensor:
        return self.plan.batch(self.preprocessing.normalise(self.preprocessing.centre(x)))

    def answers(self, stored: NDArray[Any], sizes: Sequence[tuple[int, ...]]) -> Any:
        """Decoded answers to stored inputs; `sizes` are those of the items themselves.

        Raises:
            ShapeError: pictures of a size that the net cannot take.
        """
        with as_eval(self.net), self.plan.uncompiled(), torch.inference_mode():
            if self.divides(stored, sizes):
                return [self.task.joined(self.pieces(stored), sizes[0])]
            return self.task.decode(self.outputs(stored), sizes)


@dataclass
class Answered:
    """What became of items: a meter, and the sum of the losses where targets have the form training has."""

    meter: Meter
    loss: float = 0.0
    items: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def answered(
    used: Net,
    arrays: Arrays,
    targets: Targets,
    sizes: NDArray[np.int64],
    *,
    part: slice = slice(None),
    quick: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Answered:
    """Answer items and count the answers. The net is left as it was.

    Args:
        used: the net.
        arrays: the items, stored in the form of its preprocessing.
        targets: of all items of the split as listed, in the items' own size.
        sizes: height and width of those items [*, 2]; (0, 0) of what is no picture.
        part: which of the items.
        quick: score masks at the size they are stored in, and keep no row an item.
        progress: called with (done, total).
    """
    found = Answered(used.task.meter(whole=not quick))
    numbers = range(len(arrays))[part]
    stored = targets.itself or (targets.source is not None and quick)
    with as_eval(used.net), used.plan.uncompiled(), torch.inference_mode():
        for index in batches_of(numbers, used.batch_size(arrays.inputs)):
            inputs = np.asarray(arrays.inputs[index.start : index.stop])
            place = arrays.numbers[index.start : index.stop].tolist()
            held = arrays.targets[index.start : index.stop]
            if targets.itself:
                held = used.viewed(inputs)
            truths = [
                used.task.truth(held[k]) if stored else targets.truth(number)
                for k, number in enumerate(place)
            ]
            shape = held.shape[1:-1] if targets.itself else inputs.shape[1:-1]
            spots = [shape if stored else tuple(sizes[i].tolist()) for i in place]
            if used.divides(inputs, spots):
                answers, loss = _in_parts(used, inputs, targets.kind, held if quick else None)
            else:
                outputs = used.outputs(inputs)
                answers = used.task.decode(outputs, spots)
                loss = _loss(used, outputs, targets.kind, held) if quick else 0.0
            found.meter.add(answers, truths)
            if quick:
                found.loss += loss * len(index)
                found.items += len(index)
            else:
                known = found.meter.last(len(index))
                found.rows += rows_of(used.task, answers, truths, known)
            progress(index.stop, len(arrays))
    return found


def batches_of(numbers: range, size: int) -> Iterator[range]:
    """Numbers in parts of at most so many."""
    yield from (numbers[start : start + size] for start in range(0, len(numbers), size))


def rows_of(
    task: Task,
    answers: Any,
    truths: Sequence[Any],
    known: Sequence[Mapping[str, float]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Words and scores of each item, as a row of items.csv has them; `known` are the scores, where a meter has them."""
    for i, (answer, truth) in enumerate(zip(answers, truths, strict=True)):
        scores = known[i] if known is not None else task.item_scores(answer, truth)
        yield {**task.item_words(answer, truth), **scores}


def _in_parts(
    used: Net, inputs: NDArray[Any], kind: str, held: Any | None
) -> tuple[list[Any], float]:
    """The answer to one large picture, and the mean loss of its parts by their pixels, where targets are given."""
    size = (inputs.shape[1], inputs.shape[2])
    costs: list[float] = []

    def watched() -> Iterator[Piece]:
        for part in used.pieces(inputs):
            if held is not None:
                target = np.asarray(held)[:, part.rows, part.columns]
                costs.append(_loss(used, part.logits, kind, target) * part.logits[0, 0].numel())
            yield part

    answer = used.task.joined(watched(), size)
    return [answer], sum(costs) / math.prod(size)


def _taken(array: NDArray[Any], axis: int, places: Tensor) -> NDArray[Any]:
    """Rows or columns of an array, not copied where they follow each other."""
    first, count = int(places[0]), len(places)
    if first + count <= array.shape[axis] and bool((places.diff() == 1).all()):
        return array[(slice(None),) * axis + (slice(first, first + count),)]
    return array.take(places.numpy(), axis)


def _loss(used: Net, outputs: Any, kind: str, held: Any) -> float:
    """The mean loss of a batch, held against targets as training does."""
    if not used.task.held_loss:
        return 0.0
    stored = torch.from_numpy(np.asarray(held))
    target = used.preprocessing.target(kind, stored)
    return float(used.task.criterion(outputs, target.to(used.plan.device))[0])
