"""What a task is: how a net's output is learned, decoded, scored, written and drawn. B batch, N items.

Everything outside this room asks a task by this protocol and knows none by name. A batch's target is one tensor with
the items along its first axis (ragged targets are padded), so a batch can be divided, moved and shared between
processes whatever it holds.
"""

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import inputs, losses
from striate.data import Data
from striate.errors import ArgumentError, RecipeError, ShapeError, UsageError
from striate.inputs import Drawn
from striate.metrics import Interval, Scores
from striate.metrics.scores import harmless
from striate.models import catalog
from striate.models.backbone import Backbone
from striate.plan.tiles import Piece
from striate.tasks.explained import Chosen, Wanted, by_class, numbers_of
from striate.tasks.section import Headline, Measure, Section
from striate.text import some

Answer = Any  # of one item: whatever the task decodes an output to
Answers = Any  # of several items: a sequence of answers, or an array with a row for each
Size = tuple[int, int]  # height and width in pixels
U8 = NDArray[np.uint8]
C = TypeVar("C", bound="Counter")


class Learned(NamedTuple):
    """What a net made of a batch: its answer, the loss, and the loss's parts where it is a sum of several."""

    answer: Any
    loss: Tensor
    parts: Mapping[str, Tensor]


class Settings(inputs.Settings, Protocol):
    """The settings of a training that tasks read; `striate.training.Recipe` has them."""

    @property
    def loss(self) -> str | None: ...
    @property
    def smoothing(self) -> float: ...
    @property
    def class_weights(self) -> str: ...
    @property
    def sampling(self) -> str: ...
    @property
    def threshold(self) -> float | str | None: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


class Meter(ABC):
    """Adds answers up to scores, in memory that grows with the items by a few numbers each.

    Over several processes each adds its own items; `state` of one is plain arrays, which `merge` takes in the order
    of the items, so that scores are the same whatever the number of processes.
    """

    @abstractmethod
    def add(self, answers: Answers, truths: Sequence[Any] | NDArray[Any]) -> None:
        """Count the answers to some items."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """All that was counted, as plain arrays."""

    @abstractmethod
    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Count what the state of another meter counted, after what is counted here."""

    @abstractmethod
    def values(self) -> dict[str, float]:
        """The scores that are watched epoch by epoch, without intervals, the most important first."""

    @abstractmethod
    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """All scores with 95 % intervals, from drawing items, or groups [N] of them, again."""

    @property
    @abstractmethod
    def merit(self) -> float:
        """What the kept epoch maximises."""

    def per_class(self, groups: NDArray[np.int64] | None = None) -> list[dict[str, Any]]:
        """A row a class: label, support and scores; none where the task has no classes."""
        del groups
        return []

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """What a reader of the scores must know, such as that there are too few items for intervals."""
        del groups
        return []

    def last(self, count: int) -> list[dict[str, float]] | None:
        """What `Task.item_scores` says of the last items that were added, where that is known already."""
        del count
        return None

    def confusion(self) -> NDArray[np.int64] | None:
        """Counts [K, K], rows truth, columns answers, where the task has such a table."""
        return None


class Counter(Protocol):
    """What counts for a meter, of `striate.metrics`."""

    def __len__(self) -> int: ...
    def state(self) -> dict[str, NDArray[Any]]: ...
    def merge(self, state: Mapping[str, NDArray[Any]]) -> None: ...
    def values(self) -> dict[str, float]: ...
    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]: ...
    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]: ...


class CountedMeter(Meter, Generic[C]):
    """A meter for which one of `striate.metrics` counts."""

    def __init__(self, counted: C) -> None:
        self._counted = counted

    def __len__(self) -> int:
        return len(self._counted)

    def state(self) -> dict[str, NDArray[Any]]:
        """What was counted, as plain arrays."""
        return self._counted.state()

    def merge(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take in those of another."""
        self._counted.merge(state)

    def values(self) -> dict[str, float]:
        """The scores without intervals that are known."""
        return {key: value for key, value in self._counted.values().items() if np.isfinite(value)}

    def scores(self, groups: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """The scores with intervals."""
        return self._counted.scores(groups)

    def notes(self, groups: NDArray[np.int64] | None = None) -> list[str]:
        """Whether there are too few items for intervals."""
        return self._counted.notes(groups)


@dataclass(frozen=True, eq=False)
class Item:
    """One item with its answer, as a report shows it.

    Attributes:
        name: of the item.
        input: as stored, of pictures uint8 [H, W, C] in the item's own size, rgb or grey.
        truth: its target.
        answer: decoded.
        scores: of this item.
        drawn: how it is shown, where it is no picture.
    """

    name: str
    input: NDArray[Any] = field(repr=False)
    truth: Any = field(repr=False)
    answer: Answer = field(repr=False)
    scores: Mapping[str, float]
    drawn: Drawn | None = field(default=None, repr=False)

    @property
    def shown(self) -> U8 | Drawn:
        """What a tile shows of it."""
        return self.input if self.drawn is None else self.drawn


class HeldOut(Protocol):
    """The answers to a split, as sections are made from them."""

    @property
    def scores(self) -> Scores: ...
    @property
    def meter(self) -> Any: ...
    @property
    def rows(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def names(self) -> Sequence[str]: ...

    @property
    def noun(self) -> str:
        """What the items are called, plural."""
        ...

    @property
    def trained(self) -> Mapping[str, int]:
        """How often each class occurs in what was trained on; nothing where that is not known."""
        ...

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """These items with their inputs, truths and answers; the net answers them again."""
        ...


class Task(ABC):
    """What is asked of a net. A frozen dataclass: equal tasks learn alike.

    Attributes:
        name: also the folder below runs/.
        kinds: of targets that it learns from; see `striate.data.targets`.
        wanted: what its losses are of, plural, in a message.
        axes: of an input of the nets that do it, channels included; 0 where that depends on what the inputs are.
        fit: how pictures are brought to the size the net reads; see `Data.arrays`.
        noun: what an item is called, plural; "" where that depends on what the inputs are.
        loss_names: the losses a recipe may ask for, of `striate.losses`.
        usual_loss: the one that is taken where it asks for none.
        held_loss: whether the loss of the held-out items is to be computed as in training; else its meter has it.
        maps: whether outputs are maps [B, K, H, W] of the picture's places, so that large ones are answered in tiles.
        linear: whether a last linear layer can be fitted to features alone, its loss having one minimum.
        has_mean: whether answers of several nets, or to several views of an item, can be averaged.
        thresholds: whether a class is said, a box or an object given, from a probability on, which `threshold=` sets.
        as_files: whether an answer is a file, such as a mask, which a prediction is not without.
        formats: in which predictions can be written.
        columns: what of a row a class is shown on a terminal, with its heading; the worst by the first are listed.
        classes: their names; () of a task without.
        classes_of: what they are called in a report.
        class_weights: a factor on the loss of each class, where the recipe balances them.
        counted: the names of what `counts` gives; further columns of a training are parts of its loss.
        item_facts: what of `item_scores` says what an item is, whatever the answer: nothing that runs differ in.
        main: the score that leads a report; the first of its meter's if not given.
        measures: what its scores are called and say.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    wanted: ClassVar[str]
    axes: ClassVar[int] = 0
    fit: ClassVar[str] = "cover"
    noun: ClassVar[str] = ""
    loss_names: ClassVar[tuple[str, ...]] = ()
    usual_loss: ClassVar[str] = ""
    held_loss: ClassVar[bool] = True
    maps: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    has_mean: ClassVar[bool] = False
    thresholds: ClassVar[bool] = False
    as_files: ClassVar[bool] = False
    formats: ClassVar[tuple[str, ...]] = ("json", "csv")
    counted: ClassVar[tuple[str, ...]] = ()
    item_facts: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[Mapping[str, str]] = {}
    main: ClassVar[str] = ""
    measures: ClassVar[Mapping[str, Measure]] = {}
    classes_of: ClassVar[str] = "classes"
    classes: tuple[str, ...] = ()
    class_weights: tuple[float, ...] | None = None

    # ------------------------------------------------------------------------------ before a training

    @classmethod
    @abstractmethod
    def of(cls, data: Data, recipe: Settings) -> Self:
        """The task that opened data and a settled recipe ask for."""

    @classmethod
    @abstractmethod
    def restored(cls, classes: Sequence[str], config: Mapping[str, Any]) -> Self:
        """The task of a run, from the classes and the `config` that it wrote."""

    def config(self) -> dict[str, Any]:
        """Plain values for config.json, beside the name and the classes."""
        return {}

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """Settings that suit the data where the recipe leaves them open: net, size, color, augment, loss.

        Those of nets that answer whole inputs, if a task does not say others.
        """
        return inputs.of(data.modality).defaults(data, recipe, own_net=own_net)

    def head(self) -> dict[str, Any]:
        """What building a net of the catalogue needs to answer this task: an output for each of `answers`, if nothing else."""
        return {"num_classes": len(self.answers)}

    def set_up(self, net: nn.Module) -> None:
        """Put into a net what it takes from the data before it is trained, such as a graph; nothing for most."""
        del net

    def measured(self, net: nn.Module, seen: Iterable[NDArray[Any]]) -> Self:
        """The same with what it takes from the decoded training items, such as answers without a net to be held against.

        Args:
            net: that is trained.
            seen: training inputs [n, ...] as evaluation sees them, batch by batch; nothing is decoded unless it is asked.
        """
        del net, seen
        return self

    @classmethod
    def refuse(cls, recipe: Settings, *, own_net: bool = False) -> None:
        """Refuse what cannot be learned so, before anything is decoded.

        Raises:
            RecipeError: a loss of other targets, mixed items where they cannot be mixed, or a threshold of nothing.
        """
        del own_net
        if recipe.threshold is not None and not cls.thresholds:
            raise RecipeError(
                f"threshold={recipe.threshold}: {cls.wanted} are not answered from a probability on; leave it out"
            )
        if recipe.sampling == "balanced" and "label" not in cls.kinds:
            raise RecipeError(
                f"sampling=balanced draws every class equally often, and {cls.wanted} have no single class each that it "
                "could draw by; leave it out"
            )
        spelt = recipe.loss or cls.usual_loss
        wrong = [term.name for term in losses.read(spelt).terms if term.name not in cls.loss_names]
        if wrong:
            names = cls.loss_names
            alone = len(names) == 1 or losses.BOXES.keys() >= {*names}  # added to no other
            known = " or ".join(names) if alone else f"{', '.join(names)}, or a sum of these"
            raise RecipeError(f"loss={spelt}: {cls.wanted} need {known}")

    @property
    def answers(self) -> tuple[str, ...]:
        """What the outputs of a net stand for, by name: the classes, if nothing else."""
        return self.classes

    def adopt(self, layer: nn.Module, was: "Task") -> bool:
        """Change a last layer that learned under the settings of another task of this kind, so that it answers the same here.

        Args:
            layer: its outputs are `answers`, in this order.
            was: with the same answers.

        Returns:
            Whether there was anything to change.
        """
        del layer, was
        return False

    # ---------------------------------------------------------------------------------- a step of it

    @abstractmethod
    def criterion(self, answer: Any, target: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss of an answer, and its parts where it is a sum of several."""

    def learn(self, net: nn.Module, x: Tensor, target: Tensor) -> Learned:
        """A net's answer and loss: of the net's own objective if it has one, which may ask for several losses.

        The parts are those of the loss of the answer itself.
        """
        measured: list[tuple[Any, Mapping[str, Tensor]]] = []

        def loss(answer: Any, wanted: Tensor) -> Tensor:
            value, parts = self.criterion(answer, wanted)
            measured.append((answer, parts))
            return value

        if isinstance(net, Backbone):
            answer, value = net.objective(x, target, loss)
        else:
            answer = net(x)
            value = loss(answer, target)
        return Learned(answer, value, next((p for of, p in measured if of is answer), {}))

    def counts(self, answer: Any, target: Tensor) -> dict[str, Tensor]:
        """Sums over the items of a batch that are shown beside the loss of the training, such as how many are right."""
        del answer, target
        return {}

    def shares(self, target: Tensor, kind: torch.dtype) -> Tensor:
        """Targets in a form in which those of two items can be blended."""
        del target, kind
        raise RecipeError(f"{self.name}: items cannot be mixed; leave mixup and cutmix out")

    def check_answer(self, outputs: Any, x: Tensor) -> None:
        """Refuse outputs that this task cannot read, before anything is timed.

        Raises:
            ShapeError: what came and what was expected.
        """
        if not isinstance(outputs, Tensor) or len(outputs) != len(x):
            raise ShapeError(
                f"the net answers {answered(outputs)} to {len(x)} {self.noun or 'items'}, expected one tensor of {len(x)} rows"
            )

    # ----------------------------------------------------------------------------- after a training

    @property
    def unsettled(self) -> bool:
        """Whether something is left that answers to the validation items decide, such as a threshold."""
        return False

    def settled_by(self, meter: Any) -> tuple[Self, str]:
        """The same with what those decide, and a line that says so.

        Args:
            meter: of this task, with the answers of the trained net to the validation items.
        """
        del meter
        return self, ""

    def as_settled(self, other: "Task") -> Self:
        """The same with what another of this kind has chosen so."""
        del other
        return self

    # ------------------------------------------------------------------------------------ its answers

    def outputs(self, net: nn.Module, x: Tensor) -> Any:
        """What a net says of a batch when it is used."""
        return net(x)

    @abstractmethod
    def decode(self, outputs: Any, sizes: Sequence[tuple[int, ...]]) -> Answers:
        """An answer an item, in the item's own size and places.

        Args:
            outputs: of the net, for whole items.
            sizes: height and width of each item itself; (0, 0) where it is no picture.
        """

    def said(self, answers: Any) -> NDArray[np.bool_]:
        """Which classes decoded answers [N, K] name, [N, K], of tasks that give whole items labels.

        Raises:
            UsageError: of another task.
        """
        del answers
        raise UsageError(f"{self.name}: answers are no labels of whole items")

    def from_thresholds(self, outputs: Tensor) -> Tensor:
        """Outputs [B, K] moved so that a threshold lies where there is none: the likeliest is said, of several labels those from 0 on."""
        return outputs

    def to_mean(self, outputs: Any) -> Tensor:
        """Outputs as numbers whose mean over nets, or views of an item, is an answer, of tasks with `has_mean`.

        Such as probabilities, or values in their own unit.
        """
        raise NotImplementedError(f"{self.name} has no mean of {answered(outputs)}")

    def from_mean(self, mean: Tensor) -> Any:
        """What `decode` reads of a mean of `to_mean`."""
        return mean

    def like(self, other: "Task") -> bool:
        """Whether answers of another task stand for the same, output by output, so that they may be averaged with these."""
        same = self.name == other.name and self.answers == other.answers
        return same and self.head() == other.head()

    def joined(self, parts: Iterable[Piece], size: tuple[int, ...]) -> Answer:
        """`decode` for one large picture whose outputs come part by part, of tasks with `maps`.

        Args:
            parts: outputs of one item, each place once.
            size: height and width of the picture that the parts are of, which is that of the item.
        """
        raise NotImplementedError(f"{self.name} has no maps to join")

    def truth(self, target: Any) -> Any:
        """The target of one item, as stored for training, in the form of `Targets.truth`."""
        return target

    @abstractmethod
    def item_scores(self, answer: Answer, truth: Any) -> dict[str, float]:
        """The scores of one item: numbers in a row of items.csv; what is undefined is left out."""

    def item_words(self, answer: Answer, truth: Any) -> dict[str, str]:
        """Words in that row, before the scores."""
        del answer, truth
        return {}

    @abstractmethod
    def meter(self, *, whole: bool = False) -> Meter:
        """A meter without any answers; of a `whole` evaluation it may count what is slow to count."""

    # ------------------------------------------------------------------------------- what is explained

    def explained(self, outputs: Any, items: int) -> Tensor:
        """The numbers of a net's answer to so many items that can be explained, [B, ...]: its outputs, if nothing else."""
        return numbers_of(outputs, items)

    def chosen(self, values: Tensor, wanted: Sequence[Wanted]) -> Chosen:
        """Which of these numbers are explained of each item: those of a class, if nothing else.

        Args:
            values: of `explained`.
            wanted: a class or number an item, by its name or its place; None for what the net answers.

        Raises:
            ArgumentError: there is none of that name or place.
        """
        return by_class(values, self.answers, wanted)

    # -------------------------------------------------------------------------------------- predicting

    def tuned(self, options: Mapping[str, Any]) -> Self:
        """The same with settings of `predict`, such as the least confidence of a box.

        Raises:
            UsageError: one that this task does not have.
        """
        if options:
            raise UsageError(f"--{next(iter(options))}: {self.name} has no such setting")
        return self

    @abstractmethod
    def answer(self, one: Answer) -> dict[str, Any]:
        """One answer in the JSON shape of `predict`."""

    def remark(self, one: Answer, size: tuple[int, ...]) -> str:
        """What is to be said of an answer to an input of its own height and width; mostly nothing."""
        del one, size
        return ""

    def line(self, answer: Mapping[str, Any]) -> str:
        """The same as words on one line of a terminal."""
        return ", ".join(f"{key} {value}" for key, value in answer.items())

    def draw(self, picture: U8, answer: Answer) -> U8 | None:
        """An answer drawn over its picture, uint8 [H, W, 3]; None where there is nothing to draw."""
        del picture, answer
        return None

    def files(
        self, stem: str, picture: Callable[[], U8], answer: Answer, folder: Path
    ) -> dict[str, str]:
        """Write what people use beside the JSON of one item.

        Args:
            stem: what the names of the files begin with.
            picture: reads the item in its own size [H, W, 3].
            answer: of the item.
            folder: where they are written.

        Returns:
            The names of the files by what they are.
        """
        del stem, picture, answer, folder
        return {}

    def _rows(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Those of `table`; of an answer window by window those of each, with its start and end in seconds."""
        return [
            {**{key: one[key] for key in ("start", "end") if key in one}, **row}
            for one in answer.get("windows", (answer,))
            for row in self.table(one)
        ]

    def table(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One answer in the JSON shape of `predict` as rows of a table: its plain values."""
        return [{key: v for key, v in answer.items() if isinstance(v, str | int | float)}]

    def export(self, form: str, folder: Path, answers: Iterable[Mapping[str, Any]]) -> None:
        """Write all answers in one of `formats` beside the JSON.

        Args:
            form: csv, or another of `formats`.
            folder: of the predictions.
            answers: in the JSON shape of `predict`, with `file`.
        """
        del form
        rows = [{"file": one["file"], **row} for one in answers for row in self._rows(one)]
        header = list(dict.fromkeys(key for row in rows for key in row)) or ["file"]
        with (folder / "predictions.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, header, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: harmless(value) for key, value in row.items()} for row in rows)

    # -------------------------------------------------------------------------------------- the report

    def headline(self, held: HeldOut, of: str) -> Headline:
        """The one result.

        Args:
            held: the answers it is of.
            of: how these items are called and counted, such as "360 held-out pictures".
        """
        score = self.main or next(iter(held.scores.scores), "")
        return Headline(score, f"{self.measure(score).title} of {of}")

    def verdict(self, scores: Mapping[str, Interval]) -> str:
        """What scores say in one line that stands before them all; "" for most tasks."""
        del scores
        return ""

    def curve_words(self, recipe: Settings) -> dict[str, str]:
        """What is to be said of the curves of a training, by score, and by "loss"."""
        spelt = recipe.loss or self.usual_loss
        return {"loss": f"{spelt}, mean over {self.noun or 'items'}, by epoch." if spelt else ""}

    @classmethod
    def measure(cls, score: str) -> Measure:
        """A score in words."""
        return cls.measures.get(score, Measure(score))

    @abstractmethod
    def sections(self, held: HeldOut) -> list[Section]:
        """What the report shows of the answers to a split, worst items first."""


def refuse_net(task: type[Task], name: str, axes: int) -> None:
    """Refuse a net of the catalogue that does another task; one that learns without targets says so when it is built.

    Args:
        task: that is asked for.
        name: of the net.
        axes: of an input as a net reads it, channels included: a picture has three.

    Raises:
        UsageError: with those that do this one.
    """
    row, axes = catalog.entry(name), task.axes or axes
    tasks = row.tasks
    try:
        able = catalog.able(task.name, axes)
    except ArgumentError:
        able = []
    if (able and catalog.does(row, task.name, axes)) or tasks == ("unsupervised",):
        return
    kind = catalog.entry(name).kind
    does = " or ".join(tasks) if task.name not in tasks else f"{task.name} from a {kind} each"
    raise UsageError(
        f"net={name} learns to {does}, these data are to {task.name}; "
        + (
            f"nets that do: {some(able)}"
            if able
            else "no net of the catalogue does that: bring your own"
        )
    )


def epochs_of(steps: int, batch: int, data: Data) -> int:
    """Epochs of about so many steps, from 10 to 100."""
    return max(10, min(100, round(steps * batch / max(1, len(data.splits["train"])))))


def answered(outputs: Any) -> str:
    """The shape of what a net answered, or its type."""
    if isinstance(outputs, Tensor):
        return str(tuple(outputs.shape))
    return type(outputs).__name__
