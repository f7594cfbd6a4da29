"""What the rest of the house asks of an input, whatever it is: a picture, a sound, a series, a volume, an array.

A modality is a subclass of `Preprocessing` in a file of its own and a line in the table of this room. The class says what
suits such data before anything is decoded; an object of it, which a run keeps in config.json, takes stored inputs to
what the net reads, in training, evaluation and prediction alike. N items, B batch.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.augment import Colors, Policy, read
from striate.augment.policy import SHIFT, WORDS
from striate.data import AnyForm, Data, Form, Images
from striate.data.sources import MODALITIES, Source
from striate.errors import RecipeError, UsageError
from striate.inputs.fields import damaged

Size = tuple[int, int]
U8 = NDArray[np.uint8]
Shape = tuple[int, ...]


class Settings(Protocol):
    """The settings of a training that are asked for here; `striate.training.Recipe` has them."""

    @property
    def net(self) -> str | None: ...
    @property
    def augment(self) -> str: ...
    @property
    def size(self) -> Size | None: ...
    @property
    def crop(self) -> Size | None: ...
    @property
    def grid(self) -> tuple[int, int, int] | None: ...
    @property
    def patch(self) -> tuple[int, int, int] | None: ...
    @property
    def color(self) -> str | None: ...
    @property
    def history(self) -> int | None: ...
    @property
    def horizon(self) -> int | None: ...
    @property
    def weights(self) -> str | None: ...
    @property
    def budget(self) -> float | None: ...
    @property
    def device(self) -> str: ...
    @property
    def epochs(self) -> int | None: ...
    @property
    def width(self) -> float: ...
    @property
    def model_fields_set(self) -> set[str]: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def rate(self) -> int | None: ...
    @property
    def representation(self) -> str | None: ...
    @property
    def mels(self) -> int | None: ...
    @property
    def win_ms(self) -> tuple[float, ...] | None: ...
    @property
    def hop_ms(self) -> float | None: ...


@dataclass(frozen=True)
class Views:
    """What the random views of the items of one step are a function of.

    Attributes:
        kind: of the targets; see `striate.data.targets`.
        index: item numbers [B].
        policy: what happens to them.
        seed: of this training and epoch.
        generator: gives a new one of this training, epoch and step, for what moves a batch as one.
        plain: as evaluation sees them, whatever the policy says.
        colors: gives the colours of the training items, for the step `pca`.
    """

    kind: str
    index: Tensor
    policy: Policy
    seed: int
    generator: Callable[[], torch.Generator]
    plain: bool = False
    colors: Callable[[], Colors | None] = lambda: None


@dataclass(frozen=True, eq=False)
class Read:
    """One file as it is stored, to be answered.

    Attributes:
        stored: the input; of a long recording its windows, one after the other along the first axis.
        size: of the input itself, to which maps of it are brought: height and width of a picture; (0, 0) of what has none.
        windows: start and end of each window, in seconds; () where the input is answered as one.
        note: what is to be said of it beside the answer.
    """

    stored: NDArray[Any] = field(repr=False)
    size: tuple[int, ...] = (0, 0)
    windows: tuple[tuple[float, float], ...] = ()
    note: str = ""


class Drawn(NamedTuple):
    """How an input that is no picture is shown in a tile of a report.

    Attributes:
        picture: uint8 [H, W, C].
        svg: markup of `striate.svg` that stands in its place.
        sound: a whole WAV file, to be played.
    """

    picture: U8
    svg: str = ""
    sound: bytes = b""


class FixedView(NamedTuple):
    """One of several views of an input that are answered each, for their mean.

    Attributes:
        see: takes stored inputs [N, ...] to what of them is seen.
        preprocessing: from there to what the net reads.
        mirrored: whether left and right are exchanged.
    """

    see: Callable[[NDArray[Any]], NDArray[Any]]
    preprocessing: "Preprocessing"
    mirrored: bool = False


class Preprocessing(ABC):
    """From stored inputs of one modality to what a net reads. A frozen dataclass: equal ones do the same.

    Attributes:
        modality: of `striate.data.sources.MODALITIES`.
        axes: of an input as a net reads it, channels included: a picture has three.
        settings: of a recipe that such inputs alone have.
        view_kinds: of the random views that they have; see `striate.augment.policy.WORDS`.
        view_names: further ones.
        mean: by which what the net reads is scaled, of each channel; measured on the training items.
        std: likewise the standard deviation.
    """

    modality: ClassVar[str]
    axes: ClassVar[int] = 3
    settings: ClassVar[tuple[str, ...]] = ()
    view_kinds: ClassVar[tuple[str, ...]] = ()
    view_names: ClassVar[tuple[str, ...]] = ()
    mean: tuple[float, ...]
    std: tuple[float, ...]

    # ------------------------------------------------------------------- before anything is decoded

    @classmethod
    def axes_of(cls, recipe: Settings) -> int:
        """`axes` where they depend on the settings."""
        del recipe
        return cls.axes

    @classmethod
    def noun(cls) -> str:
        """What inputs are called, plural."""
        return MODALITIES[cls.modality]

    @classmethod
    @abstractmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """Settings for nets that answer whole inputs, with a label or numbers: net, augment, and those of the inputs."""

    @classmethod
    def map_defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any] | None:
        """The same for nets that answer with a map of the places of an input; None where the task knows them."""
        del data, recipe, own_net
        return None

    @classmethod
    def refuse(cls, recipe: Settings) -> None:
        """Refuse settings that such inputs do not have, before anything is decoded: random views of others, if nothing else.

        Args:
            recipe: settled.

        Raises:
            RecipeError: naming the setting, and the first view that is of others.
        """
        policy = read(recipe.augment)
        given = [name for name, _ in policy.steps] + ([SHIFT] if policy.shifts else [])
        names = cls.view_names
        able = [name for name, row in WORDS.items() if row.kind in cls.view_kinds or name in names]
        able += [name for name in names if name not in WORDS]
        for name in given:
            if name not in able:
                said = f"; they have {', '.join(able)}" if able else ""
                raise RecipeError(
                    f"augment={recipe.augment}: {name} is no view of {cls.noun()}{said}"
                )

    @classmethod
    def remarks(cls, data: Data, recipe: Settings) -> list[str]:
        """What is to be said of how a settled recipe takes the inputs, a line each."""
        del data, recipe
        return []

    @classmethod
    def planned(cls, data: Data, recipe: Settings, fit: str) -> AnyForm:
        """The form in which a settled recipe has the inputs stored: as they are, if a modality does not say another.

        Args:
            data: opened, not decoded.
            recipe: settled.
            fit: how the task has pictures brought to their size.
        """
        del data, recipe
        return Form(None, "", fit)

    @classmethod
    def planned_shape(cls, data: Data, recipe: Settings) -> Shape:
        """Of one input as the net will read it, channels first; as it is stored, if a modality does not say another."""
        del recipe
        return next(iter(data.splits.values())).source.shape(Form(None, ""))

    @classmethod
    def planned_size(cls, data: Data, recipe: Settings) -> Shape | None:
        """The size a net of the catalogue is built for; None where the recipe leaves that to it."""
        return cls.planned_shape(data, recipe)[1:]

    @classmethod
    def planned_bytes(cls, data: Data, recipe: Settings, fit: str) -> int:
        """Bytes of the stored training items, where those are mapped from a file; 0 where they lie in memory already."""
        del data, recipe, fit
        return 0

    # -------------------------------------------------------------------------------- made, and kept

    @classmethod
    @abstractmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """The one of a training.

        Args:
            inputs: of the training, as they are stored.
            data: that they are of.
            recipe: settled.
            form: in which they are stored.
        """

    def as_learned(
        self, known: "Preprocessing | None", weights: str
    ) -> "tuple[Preprocessing, str]":
        """The same with values scaled as first weights learned them, and a line that says so; unchanged by default.

        Args:
            known: how inputs of those weights were prepared; None where they do not say.
            weights: what they are called.
        """
        del known, weights
        return self, ""

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read back what `as_dict` gave.

        Raises:
            CheckpointError: a field is missing or of the wrong kind.
        """
        with damaged():
            return cls._from_dict(content)

    @classmethod
    @abstractmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The same; KeyError, TypeError and ValueError name the field that is damaged."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json; `inputs` is the modality."""
        return {"inputs": self.modality, **asdict(self)}  # pyright: ignore[reportArgumentType] - all are dataclasses

    # ------------------------------------------------------------------------------ what a net reads

    @property
    @abstractmethod
    def form(self) -> AnyForm:
        """In which inputs are stored."""

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Of one input as the net reads it in training, channels first."""

    @property
    def own_size(self) -> bool:
        """Whether an input may be of any size, which the net's answer then has too."""
        return False

    @property
    def opening(self) -> dict[str, Any]:
        """Arguments of `striate.data.open` with which other data are opened as the training's were."""
        return {}

    def matched(self, data: Data) -> Data:
        """Other data as this reads them, such as series in the order of the training's.

        Raises:
            DataError: they do not fit; with the reason alone.
        """
        return data

    @property
    def window(self) -> Size | None:
        """What is cut out of streamed inputs as they are decoded, where each keeps a size of its own."""
        return None

    def values(self, stored: Shape) -> int:
        """How many values of an input, channels left out, the net reads; 0 where inputs differ.

        Args:
            stored: the shape of stored inputs, [N, ...].
        """
        return math.prod(stored[1:])

    def parts(self, stored: Shape) -> Sequence[tuple[slice, ...]]:
        """Windows in which an input is answered whose maps are averaged, by its axes of space; () where it is answered whole.

        Args:
            stored: the shape of stored inputs, [N, ...].
        """
        del stored
        return ()

    def at_once(self, most: int, batch: Callable[[Any], int]) -> int:
        """How many files are decoded before they are answered.

        Args:
            most: of them.
            batch: how many stored inputs of an array's shape are answered together.
        """
        del batch
        return most

    def with_room(self, inputs: Tensor, policy: Policy) -> Tensor:
        """Stored inputs with what the policy needs around them."""
        del policy
        return inputs

    def batch(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """What a step of the training takes: inputs as the net reads them, and their targets as the loss does.

        Args:
            stored: inputs [B, ...].
            targets: as they are stored.
            views: the random views that are asked for.
        """
        inputs, targets = self.view(stored, targets, views)
        return self.normalise(inputs), targets

    def view(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Random views of stored inputs, before they are normalised, and the targets that follow them."""
        del views
        return stored, targets

    def fixed_views(self, views: str) -> Sequence[FixedView]:
        """Views of an input whose answers can be averaged; the first is what evaluation sees.

        Args:
            views: which of them: flips, 5 or 10.

        Raises:
            UsageError: inputs that have no such views.
        """
        raise UsageError(f"views={views}: {self.noun()} have no such views, pictures have")

    def centre(self, stored: Tensor) -> Tensor:
        """What evaluation sees of stored inputs."""
        return stored

    @abstractmethod
    def normalise(self, stored: Tensor) -> Tensor:
        """Stored inputs [N, ...] as what the net reads, float32; they are left as they are."""

    def target(self, kind: str, stored: Tensor, size: Shape | None = None) -> Tensor:
        """Targets of one kind as a loss reads them.

        Args:
            kind: of `striate.data.targets`.
            stored: as `Data.arrays` gives them, or as they are after a change of place.
            size: of the views they are places of; the stored size if not given.
        """
        del kind, size
        return stored

    # ----------------------------------------------------------------------------------- for people

    @abstractmethod
    def read(self, file: Path, *, max_pixels: int) -> Read:
        """A file as it is stored.

        Raises:
            DataError: it cannot be read, with the reason alone.
        """

    def holds(self, folder: Path) -> bool:
        """Whether a folder is one input by itself, as the slices of a volume are."""
        del folder
        return False

    def write(self, file: Path, stem: str, answer: Any, folder: Path) -> dict[str, str]:
        """Write an answer that people use beside the JSON, of an input that is no picture.

        Args:
            file: that was answered.
            stem: what the names of the files begin with.
            answer: decoded.
            folder: where they are written.

        Returns:
            The names of the files by what they are.
        """
        del file, stem, answer, folder
        return {}

    def picture(self, file: Path, *, max_pixels: int) -> Callable[[], U8] | None:
        """What reads a file in its own size for answers to be drawn over, uint8 [H, W, C]; None where it is no picture."""
        del file, max_pixels
        return None

    def item(self, stored: NDArray[Any], source: Source, number: int) -> NDArray[Any]:
        """An input as a report takes it, of pictures uint8 [H, W, C] in the size of their answers.

        Args:
            stored: one input.
            source: where it is from.
            number: of it there.
        """
        del source, number
        return stored

    def drawn(self, stored: NDArray[Any]) -> Drawn | None:
        """How a report shows one stored input; None of a picture, which shows itself."""
        del stored
        return None


def mirrors(augment: str) -> bool:
    """Whether random views of a training exchange left and right."""
    return "flip" in dict(read(augment).steps)
