"""Pictures: brought to a size, viewed at random in training, normalised by channel. N items, H W pixels, C channels."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import data as data_room
from striate.augment import Policy, cut, follow, read, view
from striate.augment.policy import SHIFT
from striate.data import AnyForm, Data, Form, Images, as_rgb, channels
from striate.data.levels import doubt_of_depth
from striate.data.sources import Source
from striate.data.targets import PLACED, Instances, Itself
from striate.errors import CheckpointError, DataError, UsageError, nearest
from striate.inputs.default_net import whole_pictures
from striate.inputs.fields import counts, moments_one_by_one, numbers, word
from striate.inputs.preprocessing import (
    U8,
    FixedView,
    Preprocessing,
    Read,
    Settings,
    Shape,
    Size,
    Views,
)

F64 = NDArray[np.float64]
Levels = tuple[float, ...]

_STEP = 255 / 65535  # of 16 bits, in values 0..255
FIXED = ("flips", "5", "10")  # views whose answers can be averaged
MOVED = 1 / 28  # a shift moves by up to this share of the size: one pixel of an MNIST digit


@dataclass(frozen=True)
class Pictures(Preprocessing):
    """Pictures: brought to `resize`, the middle `size` taken, the mean subtracted, divided by the deviation.

    Attributes:
        size: height and width that the net reads.
        resize: height and width at which pictures are stored; () where each keeps its own.
        color: of the pictures.
        mean: a channel, for values 0..255, measured on the training items.
        std: likewise the standard deviation.
        fit: how pictures are brought to `resize`; see `striate.data.Data.arrays`. Only of "cover" the middle is taken.
        levels: values of pictures of more than 8 bits that become 0 and 255, all steps between them kept; None where
            there were none such.
    """

    modality: ClassVar[str] = "picture"
    settings: ClassVar[tuple[str, ...]] = ("size", "crop", "color", "levels")
    view_kinds: ClassVar[tuple[str, ...]] = ("place", "warp", "value", "mix")
    view_names: ClassVar[tuple[str, ...]] = (SHIFT,)
    size: tuple[int, ...]
    resize: tuple[int, ...]
    color: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = "cover"
    levels: tuple[float, float] | None = None

    # ------------------------------------------------------------------- before anything is decoded

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A net, a size and epochs that suit them; see `default_net`."""
        return whole_pictures(data, recipe, own_net=own_net)

    @classmethod
    def planned(cls, data: Data, recipe: Settings, fit: str) -> AnyForm:
        """At the size of the recipe, or with `crop` each at its own."""
        del data
        stored = stored_size(recipe, fit)
        return Form(stored, recipe.color or "", "native" if recipe.crop else fit)

    @classmethod
    def planned_shape(cls, data: Data, recipe: Settings) -> Shape:
        """(C, H, W)."""
        return data.shape(recipe.size, recipe.color)

    @classmethod
    def planned_size(cls, data: Data, recipe: Settings) -> Shape | None:
        """As the recipe has it."""
        del data
        return recipe.size

    @classmethod
    def planned_bytes(cls, data: Data, recipe: Settings, fit: str) -> int:
        """Of the decoded pictures."""
        shape = cls.planned_shape(data, recipe)
        size = stored_size(recipe, fit) or shape[1:]
        train = data.splits["train"]
        return len(train) * shape[0] * math.prod(size) * train.source.dtype.itemsize

    # -------------------------------------------------------------------------------- made, and kept

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """With the mean and deviation of these pictures."""
        found = cls.measured(inputs, recipe.size or (), recipe.color or "", fit=form.fit)
        return replace(found, levels=data.levels)

    @classmethod
    def of_values(cls, mean: Levels, std: Levels) -> Self:
        """With a mean and a deviation of values 0 to 1, as weights are published with."""
        color = "grey" if len(mean) == 1 else "rgb"
        return cls((), (), color, tuple(255 * v for v in mean), tuple(255 * v for v in std))

    @classmethod
    def measured(
        cls,
        inputs: Images,
        size: tuple[int, ...],
        color: str,
        *,
        fit: str = "cover",
        limit: int = 5000,
    ) -> Self:
        """With mean and deviation of up to `limit` of the pictures, evenly picked.

        Args:
            inputs: pictures [N, H, W, C] of 0 to 255.
            size: as the class has it.
            color: as the class has it.
            fit: as the class has it.
            limit: most pictures that are looked at.
        """
        some = inputs[:: -(-len(inputs) // limit)]
        mean, std = (_of_bytes if inputs.dtype == np.uint8 else _of_floats)(some, channels(color))
        stored = tuple(inputs.shape[1:3]) if min(inputs.shape[1:3]) else ()
        return cls(size, stored, color, tuple(mean.tolist()), tuple(std.tolist()), fit)

    def as_learned(self, known: Preprocessing | None, weights: str) -> tuple[Preprocessing, str]:
        """With mean and deviation of the weights where they are known, for this colour or between grey and rgb."""
        if not isinstance(known, Pictures):
            said = f"{weights} does not say how its pictures were normalised: done by these data"
            return self, said
        levels = in_color(known, self.color)
        if levels is None:
            return (
                self,
                f"{weights} learned from {known.color} pictures: {self.color} is normalised by these data",
            )
        mean, std = levels
        said = f"normalised as for {weights}: mean {_written(mean)}, deviation {_written(std)} of 0..255"
        other = "" if self.color == known.color else f" ({self.color} from {known.color})"
        return replace(self, mean=mean, std=std), said + other

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        size, resize = (counts(content[key], key) for key in ("size", "resize"))
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        color, fit = (word(content.get(key, "cover"), key) for key in ("color", "fit"))
        levels = numbers(content.get("levels") or (), "levels")
        if len(size) != 2 or len(resize) not in (0, 2):
            raise CheckpointError(
                "config.json: its preprocessing has sizes that are no height and width"
            )
        if len(mean) != len(std) or min(std, default=0) <= 0:
            raise ValueError(f"mean {mean}, std {std}")
        if len(mean) != channels(color):
            raise CheckpointError(
                f"config.json: its preprocessing has {len(mean)} means for color={color}"
            )
        if levels and (len(levels) != 2 or not levels[0] < levels[1]):
            raise CheckpointError("config.json: its preprocessing has levels that are no range")
        return cls(size, resize, color, mean, std, fit, (levels[0], levels[1]) if levels else None)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json, which are of a picture where nothing else is said."""
        return {key: value for key, value in super().as_dict().items() if key != "inputs"}

    # ------------------------------------------------------------------------------ what a net reads

    @property
    def form(self) -> Form:
        """In which pictures are stored."""
        own = self.fit == "native" or not self.resize
        return Form(None if own else (self.resize[0], self.resize[1]), self.color, self.fit)

    @property
    def shape(self) -> Shape:
        """(C, H, W) of a picture as the net reads it in training."""
        return (channels(self.color), *self.size)

    @property
    def own_size(self) -> bool:
        """Where no middle is cut out."""
        return self.fit != "cover"

    @property
    def opening(self) -> dict[str, Any]:
        """The values that became 0 and 255."""
        return {"levels": self.levels}

    @property
    def window(self) -> Size | None:
        """The net's size, where each picture keeps its own."""
        return None if self.resize else (self.size[0], self.size[1])

    @property
    def cropped(self) -> bool:
        """Whether pictures are stored in their own size, of which the net sees windows in training."""
        return self.fit != "cover" and bool(self.resize) and self.resize != self.size

    def values(self, stored: Shape) -> int:
        """Pixels; 0 where pictures keep sizes of their own."""
        return math.prod(self.size if self.fit == "cover" else stored[1:3])

    def at_once(self, most: int, batch: Callable[[Any], int]) -> int:
        """One where pictures keep sizes of their own."""
        if not self.form.size:
            return 1
        return min(most, batch(np.empty((0, *self.resize, 1), np.uint8)))

    def with_room(self, inputs: Tensor, policy: Policy) -> Tensor:
        """With some pixels around them, where they are shifted."""
        return padded(inputs, self.size) if policy.shifts else inputs

    def view(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Pictures as the net is to see them, and their targets in the places of those."""
        images, moved = self._viewed(stored, targets, views)
        if views.kind == Itself.kind:
            moved = images
        return images, self.target(views.kind, moved, tuple(images.shape[1:3]))

    def _viewed(self, images: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        policy = views.policy
        if self.cropped:  # a whole picture may be far larger than the window that is asked for
            policy = read("crop") if views.plain else policy.within_windows()
        elif views.plain or not (policy.shifts or policy.views):
            return self._middle(images, targets, views.kind)
        if policy.shifts:
            return self._shifted(images, targets, views)
        size = (self.size[0], self.size[1])
        seen = views.colors() if "pca" in dict(policy.steps) else None
        images, where = view(images, views.index, policy, seed=views.seed, size=size, seen=seen)
        return images, follow(views.kind, targets, where)

    def _shifted(self, images: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """A small shift of the batch as one, which costs nothing."""
        (h, w), (high, wide), generator = self.size, images.shape[1:3], views.generator()
        top, left = (
            int(torch.randint(room + 1, (), generator=generator)) for room in (high - h, wide - w)
        )
        rows, columns = self._margin(images)
        moved = cut(views.kind, targets, top=top - rows, left=left - columns, size=(h, w))
        return images[:, top : top + h, left : left + w], moved

    def _margin(self, images: Tensor) -> tuple[int, int]:
        """Rows above and columns to the left that were added for shifts."""
        high, wide = self.resize or images.shape[1:3]
        return (images.shape[1] - high) // 2, (images.shape[2] - wide) // 2

    def _middle(self, images: Tensor, targets: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        """What evaluation sees: nothing of what was added, and of pictures that cover their size the middle."""
        top, left = self._margin(images)
        high, wide = self.resize or images.shape[1:3]
        images = self.centre(images[:, top : top + high, left : left + wide])
        h, w = images.shape[1:3]
        top, left = (high - h) // 2, (wide - w) // 2
        return images, cut(kind, targets, top=top, left=left, size=(h, w))

    def centre(self, stored: Tensor) -> Tensor:
        """Of pictures [N, H, W, C] that cover their size the middle, else all."""
        if self.fit != "cover":
            return stored
        (height, width), (h, w) = self.resize, self.size
        top, left = (height - h) // 2, (width - w) // 2
        return stored[:, top : top + h, left : left + w]

    def fixed_views(self, views: str) -> Sequence[FixedView]:
        """Left and right exchanged; the middle and the corners; or all of these mirrored too (Krizhevsky et al. 2012, section 4.1).

        Corners are of pictures as they are stored, with an eighth more around what the net reads, where the training
        cut out windows (augment=crop). Else the net reads whole pictures: they are moved by as much as augment=shift
        moves them, their edges repeated.

        Raises:
            UsageError: another word, or corners of pictures whose answers are maps.
        """
        if views not in FIXED:
            raise UsageError(f"views={views}: {nearest(views, FIXED)}")
        places: list[tuple[int, int] | None] = [None]
        if views != "flips":
            if self.fit != "cover" or not self.resize:
                raise UsageError(
                    f"views={views}: corners are for answers that have no places; take views=flips"
                )
            down, right = self._room
            places += product((0, down), (0, right))
        seen = [FixedView(partial(self._placed, at), self._as_placed(at)) for at in places]
        if views == "5":
            return seen
        turned = [FixedView(partial(_mirrored, see), read, mirrored=True) for see, read, _ in seen]
        return [*seen, *turned]

    @property
    def _room(self) -> tuple[int, int]:
        """By how many rows and columns what can be seen is larger than what the net reads."""
        if self.resize != self.size:
            return self.resize[0] - self.size[0], self.resize[1] - self.size[1]
        down, right = (2 * max(1, round(MOVED * side)) for side in self.size)
        return down, right

    def _as_placed(self, at: tuple[int, int] | None) -> "Pictures":
        return self if at is None else replace(self, resize=self.size)

    def _placed(self, at: tuple[int, int] | None, stored: NDArray[Any]) -> NDArray[Any]:
        """What begins at a row and column, of all that can be seen; all of the stored where none is given."""
        if at is None:
            return stored
        if self.resize == self.size:
            down, right = ((room // 2, room // 2) for room in self._room)
            stored = np.pad(stored, ((0, 0), down, right, (0, 0)), mode="edge")
        (top, left), (h, w) = at, self.size
        return stored[:, top : top + h, left : left + w]

    def target(self, kind: str, stored: Tensor, size: Shape | None = None) -> Tensor:
        """Targets of one kind as a loss reads them.

        Returns:
            Class numbers [B, h, w] of masks [B, h, w, 1]; class and corners as shares of the picture [B, M, 5] of
            boxes in pixels; values 0..1 [B, C, h, w] of pictures [B, h, w, C]; others as they are.
        """
        if kind == "mask":
            return stored[..., 0].long()
        if kind == Instances.kind:
            return stored.movedim(-1, 1)
        if kind == Itself.kind:
            return stored.movedim(-1, 1).float() / 255
        if kind not in PLACED:
            return stored
        high, wide = size or self.resize
        return stored / stored.new_tensor((1, wide, high, wide, high))

    def normalise(self, stored: Tensor) -> Tensor:
        """Pictures [N, H, W, C] of 0 to 255 as [N, C, H, W], channels last in memory."""
        mean = torch.tensor(self.mean, device=stored.device)
        std = torch.tensor(self.std, device=stored.device)
        x = stored.to(torch.float32, copy=True)  # what follows is done in place
        if x.is_contiguous():  # a row at a time: three numbers at a time take eight times as long
            wide = x.shape[2]
            x.flatten(2).sub_(mean.repeat(wide)).div_(std.repeat(wide))
        else:
            x.sub_(mean).div_(std)
        return x.permute(0, 3, 1, 2)

    # ----------------------------------------------------------------------------------- for people

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """A picture file, or one picture in a .npy file.

        Raises:
            DataError: it cannot be read; with the reason alone.
        """
        size, color, fit = self.form
        try:
            if file.suffix == ".npy":
                return Read(*data_room.array_picture(file, self.form, self.levels))
            pixels, own, deep = data_room.picture_and_size(
                file, size=size, color=color, fit=fit, max_pixels=max_pixels, levels=self.levels
            )
            note = doubt_of_depth(file, max_pixels) if deep and self.levels is None else ""
            return Read(pixels, own, note=note)
        except DataError as error:
            raise DataError(str(error).removeprefix(f"{file}: ")) from error

    def picture(self, file: Path, *, max_pixels: int) -> Callable[[], U8] | None:
        """Reads it with 8 bits, in the range that the net reads it in."""
        return partial(self._picture, file, max_pixels)

    def _picture(self, file: Path, max_pixels: int) -> U8:
        if file.suffix == ".npy":
            pixels, _ = data_room.array_picture(file, Form(None, "rgb"), self.levels)
            return as_rgb(pixels, "rgb")
        return data_room.picture(file, color="rgb", max_pixels=max_pixels, levels=self.levels)

    def item(self, stored: NDArray[Any], source: Source, number: int) -> NDArray[Any]:
        """As stored, or where answers lie in the places of the picture itself, that."""
        if self.fit == "cover":
            return as_rgb(stored, self.color)
        return as_rgb(source.decode(number, Form(None, "rgb")), "rgb")


def _mirrored(see: Callable[[NDArray[Any]], NDArray[Any]], stored: NDArray[Any]) -> NDArray[Any]:
    return see(stored)[:, :, ::-1]


def stored_size(recipe: Settings, fit: str = "cover") -> Size | None:
    """The size at which pictures are decoded: with an eighth more around where they will be cropped.

    Args:
        recipe: settled.
        fit: of the task; with `crop` every picture keeps its own size, None.
    """
    if recipe.size is None or recipe.crop:
        return None
    h, w = recipe.size
    if fit == "cover" and "crop" in dict(read(recipe.augment).steps):
        return (-(-h * 8 // 7), -(-w * 8 // 7))
    return (h, w)


def padded(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pictures [N, H, W, C] with their edges repeated, to have room for shifts of `size`."""
    down, right = (max(1, round(MOVED * side)) for side in size)
    n, high, wide, planes = images.shape
    room = torch.empty((n, high + 2 * down, wide + 2 * right, planes), dtype=images.dtype)
    room[:, down : down + high, right : right + wide] = images
    room[:, :down] = room[:, down : down + 1]
    room[:, down + high :] = room[:, down + high - 1 : down + high]
    room[:, :, :right] = room[:, :, right : right + 1]
    room[:, :, right + wide :] = room[:, :, right + wide - 1 : right + wide]
    return room


def in_color(known: Pictures, color: str) -> tuple[Levels, Levels] | None:
    """Mean and deviation for pictures of a colour space; between grey and rgb each channel counts the same."""
    if known.color == color:
        return known.mean, known.std
    if {known.color, color} != {"grey", "rgb"}:
        return None
    planes = 3 if color == "rgb" else 1
    return (fmean(known.mean),) * planes, (fmean(known.std),) * planes


def _written(levels: Levels) -> str:
    return " ".join(f"{level:.1f}" for level in levels)


def _of_bytes(images: Images, count: int) -> tuple[F64, F64]:
    """Mean and deviation of each of `count` channels of pictures of 8 bits, by a histogram: they need no room as floats."""
    found = np.zeros((count, 256), np.int64)
    for image in images:
        for channel in range(count):
            found[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    share = found / found.sum(1, keepdims=True)
    mean = share @ np.arange(256)
    variance = (share * (np.arange(256) - mean[:, None]) ** 2).sum(1)
    return mean, np.sqrt(variance).clip(1.0)  # a constant channel must not be blown up


def _of_floats(images: Images, count: int) -> tuple[F64, F64]:
    """The same of deeper pictures."""
    mean, std = moments_one_by_one(images, count)
    return mean, np.where(std > _STEP, std, 1.0)  # as above; values may use little of their range
