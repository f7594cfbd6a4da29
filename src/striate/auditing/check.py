"""What a check is, and what it works on. N items, C channels, H W positions."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.auditing.finding import Finding
from striate.data import Arrays, Data, Images, Split, Streamed
from striate.data.targets import in_words
from striate.errors import UsageError
from striate.probe import as_eval
from striate.runs import Run
from striate.runs.answering import Net
from striate.runs.split_answers import natural_sizes

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
FEWEST = 20  # items below which nothing can be measured
VALUES = 4_000_000  # numbers that a change of pictures works on at a time

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Case:
    """What an audit works on: a run and data that it did not learn from, or data alone.

    Attributes:
        run: None of an audit of data alone.
        data: opened, with the run's classes where there is a run.
        split: what is judged: test, else val, else the first there is.
        seed: of every draw.
        seconds: for the whole audit; None without a limit.
        say: gets lines on what goes on.
    """

    run: Run | None
    data: Data
    split: str
    seed: int = 0
    seconds: float | None = None
    say: Say = lambda _words: None

    @property
    def part(self) -> Split:
        """The split that is judged."""
        return self.data.splits[self.split]

    @property
    def has_labels(self) -> bool:
        """Whether every item has one label."""
        return self.data.kind == "label"

    @property
    def several(self) -> bool:
        """Whether items have any number of labels each."""
        return self.data.kind == "labels"

    @property
    def trained(self) -> Run:
        """The run.

        Raises:
            UsageError: there is none.
        """
        if self.run is None:
            raise UsageError("this check needs a run: striate audit RUN")
        return self.run

    @cached_property
    def used(self) -> Net:
        """The net of the run with what comes before and after it."""
        return self.trained.used

    def rng(self, *words: object) -> np.random.Generator:
        """Random numbers of the seed and some words, so that checks do not share theirs."""
        mixed = [self.seed, *(sum(map(ord, str(word))) for word in words)]
        return np.random.default_rng(mixed)

    def generator(self, *words: object) -> torch.Generator:
        """The same for PyTorch."""
        return torch.Generator().manual_seed(int(self.rng(*words).integers(2**62)))

    @cached_property
    def arrays(self) -> Arrays:
        """The items that are judged, stored as the net's preprocessing has them; of data alone at their own size."""
        return self.stored(self.split)

    def stored(self, split: str) -> Arrays:
        """The sound items of a split in the form in which the net's preprocessing stores them.

        Raises:
            UsageError: there is no such split.
        """
        if split not in self.data.splits:
            raise UsageError(f"{self.data.path} has no split {split}")
        return self.data.arrays(split, form=self.used.preprocessing.form)

    def varied(self, split: str | None = None) -> bool:
        """Whether the pictures of a split keep sizes of their own, so that no array holds several of them."""
        inputs = (self.arrays if split in (None, self.split) else self.stored(split)).inputs
        return isinstance(inputs, Streamed) and inputs.varied

    def batches(self, index: I64) -> Iterator[tuple[I64, NDArray[Any]]]:
        """Items of the judged split, as many at a time as the net answers together: their places, and stored inputs."""
        size = self.used.batch_size(self.arrays.inputs)
        for at in range(0, len(index), size):
            part = index[at : at + size]
            yield part, np.asarray(self.arrays.inputs[part])

    def truths(self, index: I64) -> list[Any]:
        """What answers to the items `index` are held against: as listed, or the inputs themselves as evaluation sees them."""
        targets, numbers = self.part.targets, self.arrays.numbers[index].tolist()
        if not targets.itself:
            return [targets.truth(number) for number in numbers]
        task = self.trained.task
        viewed = (self.used.viewed(inputs) for _, inputs in self.batches(index))
        return [task.truth(each) for batch in viewed for each in batch]

    def targets(self, index: I64) -> torch.Tensor:
        """The same as the loss takes them [n, ...]."""
        kind = self.part.targets.kind
        if self.part.targets.itself:
            held = np.concatenate([self.used.viewed(inputs) for _, inputs in self.batches(index)])
        else:
            held = np.asarray(self.arrays.targets[index])
        return self.used.preprocessing.target(kind, torch.from_numpy(held))

    def labels(self, split: str | None = None) -> I64:
        """Class numbers of the sound items of a split [N]."""
        name = split or self.split
        arrays = self.arrays if name == self.split else self.stored(name)
        return self.data.splits[name].labels[arrays.numbers]

    def given(self, split: str | None = None) -> Bools:
        """Which classes the sound items of a split have, one or several each [N, K]."""
        name = split or self.split
        numbers = (self.arrays if name == self.split else self.stored(name)).numbers
        return flags_of(self.data.splits[name], numbers, len(self.data.classes))

    def said(self, outputs: Tensor) -> Bools:
        """Which classes outputs [n, K] name: one each, or those of several labels that reach their thresholds."""
        task = self.trained.task
        return task.said(task.decode(outputs, [(0, 0)] * len(outputs)))

    def sample(self, most: int, *words: object) -> I64:
        """Numbers of at most so many sound items of the judged split, drawn without a pattern, in order."""
        count = len(self.arrays)
        if count <= most:
            return np.arange(count)
        return np.sort(self.rng("sample", *words).choice(count, most, replace=False))

    def of_all_classes(self, labels: I64, most: int, *words: object) -> I64:
        """Places of at most so many of labelled items, as many of each class as there are, drawn without a pattern, in order."""
        order = self.rng("classes", *words).permutation(len(labels))
        turns = np.zeros(len(labels), np.int64)  # how many of its class come before an item
        for k in np.unique(labels):
            inside = order[labels[order] == k]
            turns[inside] = np.arange(len(inside))
        return np.sort(order[np.argsort(turns[order], kind="stable")][:most])

    @cached_property
    def seconds_an_item(self) -> float:
        """What one forward pass takes, measured on a few batches: the fastest of three."""
        taken: list[float] = []
        for _ in range(3):
            begun = time.perf_counter()
            count = self._try()
            taken.append((time.perf_counter() - begun) / max(1, count))
        return max(min(taken), 1e-7)

    def _try(self) -> int:
        index = np.arange(min(len(self.arrays), self.used.batch_size(self.arrays.inputs)))
        self.answers(np.asarray(self.arrays.inputs[: len(index)]), index)
        return len(index)

    def affordable(self, passes: float, share: float, most: int = 2000) -> int:
        """How many items a check may take that sends each so many times through the net.

        Args:
            passes: forward passes an item; one with gradients counts three.
            share: of the time of the whole audit.
            most: items that suffice.
        """
        if self.seconds is None:
            return len(self.arrays)
        fit = share * self.seconds / (passes * self.seconds_an_item)
        return max(FEWEST, min(most, int(fit)))

    def answers(self, stored: NDArray[Any], index: I64) -> Any:
        """Decoded answers to stored inputs [n, ...] in place of those of the items `index`."""
        sizes = natural_sizes(self.part)[self.arrays.numbers[index]]
        return self.used.answers(stored, [tuple(size) for size in sizes.tolist()])

    def outputs(self, stored: Images, used: Net | None = None) -> torch.Tensor:
        """What the net, or another in its place, says of stored inputs, undecoded, float32 on the CPU, a batch at a time."""
        used = self.used if used is None else used
        size = used.batch_size(stored)
        with as_eval(used.net), used.plan.uncompiled(), torch.inference_mode():
            parts = [
                used.outputs(np.ascontiguousarray(stored[at : at + size]))
                for at in range(0, len(stored), size)
            ]
        return torch.cat([part.float().cpu() for part in parts])

    def scored(self, stored: NDArray[Any], index: I64) -> tuple[str, NDArray[np.float64]]:
        """The leading score of each item [n] for stored inputs in place of those of the items `index`, and its name.

        nan where an item has none. More of it is better: of errors the negative is given.
        """
        task, name = self.trained.task, ""
        found: list[dict[str, float]] = []
        size = self.used.batch_size(stored)
        for at in range(0, len(stored), size):
            part = index[at : at + size]
            answers = self.answers(np.ascontiguousarray(stored[at : at + size]), part)
            truths = self.truths(part)
            found += [task.item_scores(a, t) for a, t in zip(answers, truths, strict=True)]
        name = next((key for row in found for key in row), "")
        sign = -1.0 if task.measure(name).lower else 1.0
        return name, np.array([sign * row.get(name, np.nan) for row in found], np.float64)

    def right(self, stored: Images, labels: I64) -> NDArray[np.bool_]:
        """Which of stored inputs are answered with their label [n], by the threshold of the run where it has one."""
        task, outputs = self.trained.task, self.outputs(stored)
        answers = task.decode(outputs, [(0, 0)] * len(outputs))
        found = [task.item_scores(a, t)["accuracy"] for a, t in zip(answers, labels, strict=True)]
        return np.array(found, np.bool_)

    def files(self, index: Sequence[int] | I64, split: str | None = None) -> list[dict[str, str]]:
        """Rows of evidence for items of a split, by their place among the sound ones."""
        name = split or self.split
        arrays = self.arrays if name == self.split else self.stored(name)
        return [{"file": arrays.names[int(i)], "split": name} for i in index]


@dataclass(frozen=True)
class Check:
    """One question of an audit.

    Attributes:
        name: as `--only` takes it.
        asks: the question, a sentence.
        find: answers it.
        gate: whether a finding beyond its limit makes `striate audit` end with status 1.
        lacks: why it cannot be asked of a case; "" where it can.
        seconds: about how long it takes.
        needs_run: whether there is nothing to ask without a net.
    """

    name: str
    asks: str
    find: Callable[[Case], Iterable[Finding]]
    gate: bool = False
    lacks: Callable[[Case], str] = lambda _case: ""
    seconds: Callable[[Case], float] = lambda _case: 1.0
    needs_run: bool = True


def classified(case: Case, split: str = "") -> str:
    """Why a check of labelled items cannot be made, of the audited split or another; "" where it can."""
    if not case.has_labels:
        return f"the items have {in_words(case.data.kind)}, not one label each"
    if len(case.data.classes) < 2:
        return "there is one class only"
    return enough(case, split)


def enough(case: Case, split: str = "") -> str:
    """Why there is too little to judge in the audited split, or another; "" where there is enough."""
    name = split or case.split
    count = len(case.data.splits[name])
    if count < FEWEST:
        return f"{name} has {count} items, fewer than {FEWEST}"
    return ""


def labelled(case: Case) -> str:
    """Why a check of items with one label or several each cannot be made; "" where it can."""
    return enough(case) if case.several else classified(case)


def pictures_with_labels(case: Case) -> str:
    """Why a check that changes pictures of one label or several each cannot be made; "" where it can."""
    if not case.data.pictures:
        return labelled(case) or f"the items are {case.data.noun}, not pictures"
    return labelled(case) or of_one_size(case)


def flags_of(split: Split, numbers: I64, classes: int) -> Bools:
    """Which classes the items `numbers` of a split have [n, K]: one each, or those of several labels."""
    if split.targets.kind == "labels":
        rows = [split.targets.truth(number) for number in numbers.tolist()]
        return np.array(rows).reshape(-1, classes) > 0
    return split.labels[numbers][:, None] == np.arange(classes)


def sets_of(flags: Bools) -> I64:
    """A number for each set of classes that items [N, K] have, so that items can be picked evenly over them [N]."""
    return np.asarray(np.unique(flags, axis=0, return_inverse=True)[1], np.int64).ravel()


def agreement(before: Bools, after: Bools) -> F64:
    """Of the classes that are said of an item before or after a change the share that is said both times [n].

    Args:
        before: which classes are said [n, K].
        after: the same after the change.

    Returns:
        1 or 0 of one class an item, and anything between of several labels; nan where none is said either time.
    """
    either, both = (before | after).sum(1), (before & after).sum(1)
    return np.divide(both, either, out=np.full(len(either), np.nan), where=either > 0)


def changed(stored: NDArray[np.generic], change: Callable[[Tensor], Tensor]) -> NDArray[np.generic]:
    """Stored pictures [N, H, W, C] of 0 to 255 after a change of pictures [n, C, H, W], in their own type.

    As many are changed together as take `VALUES` numbers.
    """
    found = np.empty_like(stored)
    size = max(1, VALUES // max(1, stored[:1].size))
    for at in range(0, len(stored), size):
        part = change(channels_first(stored[at : at + size])).permute(0, 2, 3, 1).numpy()
        found[at : at + size] = np.rint(part.clip(0, 255)) if stored.dtype == np.uint8 else part
    return found


def channels_first(stored: NDArray[np.generic]) -> Tensor:
    """Stored pictures [N, H, W, C] as float32 [N, C, H, W]."""
    x = torch.from_numpy(np.asarray(stored, np.float32))
    return x.permute(0, 3, 1, 2).contiguous()


def of_one_size(case: Case, split: str | None = None) -> str:
    """Why a check that holds pictures of a split in one array cannot be made; "" where it can."""
    return "the pictures keep sizes of their own" if case.varied(split) else ""


def seconds_of(case: Case, passes: float, share: float, most: int = 2000) -> float:
    """About how long so many passes of the items that are affordable take."""
    count = min(case.affordable(passes, share, most), len(case.arrays))
    return passes * count * case.seconds_an_item
