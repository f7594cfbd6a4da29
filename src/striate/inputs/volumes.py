"""Volumes: brought to one grid, viewed at random in training, normalised by channel. N items, C channels, D H W voxels."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.augment import volumes as views_of_volumes
from striate.augment.policy import SHIFT
from striate.data import AnyForm, Data, Images
from striate.data.sources import Source
from striate.data.targets import IGNORE
from striate.data.volumes import Grid, VolumeFiles, is_item, write_mask
from striate.data.volumes import read as read_volume
from striate.data.volumes.grid import alike, fitted
from striate.data.volumes.volume import Head, Spacing, spacing_words
from striate.errors import DataError, RecipeError
from striate.inputs.fields import counts, moments_one_by_one, numbers, word
from striate.inputs.preprocessing import Drawn, Preprocessing, Read, Settings, Shape, Views

U8 = NDArray[np.uint8]
Sides = tuple[int, int, int]

LEAST = 11  # voxels of a side of VoxNet
NET, MAPS_NET = "voxnet", "unet3d_same"
VOXELS = 4 * 64**3  # of a default batch of volumes with masks
RATE, STEPS = 0.003, 800  # of AdamW, and of a default training of those
LOOKED_AT = 1000  # volumes at most from which mean and deviation are measured
_FAR = 100  # times the deviation of the training: another scale, or an empty volume
_APART = 2  # pixels between the slices of a tile


@dataclass(frozen=True)
class Volumes(Preprocessing):
    """Volumes [N, D, H, W, C] on one grid: the mean of each channel subtracted, divided by its deviation.

    Attributes:
        size: depth, height and width that the net reads.
        mean: a channel, in the values of the files, measured on the training items.
        std: likewise the standard deviation.
        spacing: of the voxels in millimetres, to which volumes are resampled; None where their sides are stretched.
        levels: values beyond these are set to the nearer one; None where nobody said so.
        dtype: in which they were stored for the training: uint8, int16 or float32.
        maps: whether answers lie in the voxels of each volume, which are shown then.
        voxel: spacing of the voxels of all training volumes in millimetres, where they have one and keep it; an answer to a
            volume of another says so.
        stored_spacing: the least and the greatest spacing of the training volumes along each axis, as their files say it:
            six numbers; None where not all say one.
        turned: how the axes of the training volumes were stored, such as "LPS", the most frequent first, before they were
            turned to lie one way; () where no file says it, None of a run that did not record it.
        patch: depth, height and width of the windows that a net learns from and answers in; None of whole volumes.
    """

    modality: ClassVar[str] = "volume"
    axes: ClassVar[int] = 4
    settings: ClassVar[tuple[str, ...]] = ("grid", "patch", "levels")
    view_names: ClassVar[tuple[str, ...]] = (*views_of_volumes.WORDS, "mixup", SHIFT)
    size: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spacing: tuple[float, ...] | None = None
    levels: tuple[float, float] | None = None
    dtype: str = "float32"
    maps: bool = False
    patch: tuple[int, ...] | None = None
    voxel: tuple[float, ...] | None = None
    stored_spacing: tuple[float, ...] | None = None
    turned: tuple[str, ...] | None = None

    # ------------------------------------------------------------------- before anything is decoded

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """VoxNet on the grid of the set, and views that move each volume a little."""
        return {
            "net": recipe.net or (None if own_net else NET),
            "grid": recipe.grid
            or _enlarged(_grid(data).size, recipe.net or ("" if own_net else NET)),
            "augment": "translate:0.06",
        }

    @classmethod
    def map_defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A padded 3D U-Net of a quarter of the width where no net is named; volumes are mirrored and moved."""
        usual = cls.defaults(data, recipe, own_net=True)
        if recipe.patch and not recipe.grid:
            usual["grid"] = _whole(data)
        sides: Sides = recipe.patch or usual["grid"] or (1, 1, 1)
        batch = max(2, min(16, VOXELS // math.prod(sides)))
        net = recipe.net or (None if own_net else MAPS_NET)
        items = len(data.splits["train"]) if "train" in data.splits else 1
        return {
            **usual,
            "net": net,
            "batch": batch,
            "lr": RATE,
            "epochs": max(10, min(100, round(STEPS * batch / max(1, items)))),
            "augment": "flip+translate:0.06",
            **({"width": 0.25} if recipe.net is None and not own_net else {}),
        }

    @classmethod
    def planned(cls, data: Data, recipe: Settings, fit: str) -> AnyForm:
        """On the grid of the set, or the one that was asked for, which holds the same part of each volume."""
        del fit
        grid, wanted = _grid(data), recipe.grid
        if wanted is None or wanted == grid.size or grid.size is None:
            return grid
        if grid.spacing is None:
            return grid._replace(size=wanted)
        steps = [s * n / k for s, n, k in zip(grid.spacing, grid.size, wanted, strict=True)]
        return grid._replace(size=wanted, spacing=(steps[0], steps[1], steps[2]))

    @classmethod
    def planned_shape(cls, data: Data, recipe: Settings) -> Shape:
        """(C, D, H, W)."""
        source = next(iter(data.splits.values())).source
        form = cls.planned(data, recipe, "")
        *sides, channels = source.shape(form)
        if recipe.patch:
            _check_patch(recipe.patch, tuple(sides), data.kind)
            sides = recipe.patch
        return (channels, *sides)

    @classmethod
    def planned_bytes(cls, data: Data, recipe: Settings, fit: str) -> int:
        """Of files as they are stored."""
        train = data.splits["train"]
        if train.source.in_memory:
            return 0
        of_one = math.prod(train.source.shape(cls.planned(data, recipe, fit)))
        return len(train) * of_one * train.source.dtype.itemsize

    # -------------------------------------------------------------------------------- made, and kept

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """With mean and deviation of some of the volumes, evenly picked."""
        some = inputs[:: -(-len(inputs) // LOOKED_AT)]
        means, stds = moments_one_by_one(some, some.shape[-1])
        stds = np.where(stds > 0, stds, 1.0)  # a channel that never changes
        mean, std = tuple(means.tolist()), tuple(stds.tolist())
        grid = form if isinstance(form, Grid) else Grid(_sides(inputs.shape[1:]))
        size, dtype, maps = tuple(inputs.shape[1:4]), str(inputs.dtype), data.kind == "mask"
        heads = _heads(data)
        return cls(
            size, mean, std, grid.spacing, data.levels, dtype, maps, recipe.patch, _voxel(data),
            _spread([one.spacing for one in heads]), _turned(heads),
        )  # fmt: skip

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        size = counts(content["size"], "size")
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        spacing = numbers(content["spacing"] or (), "spacing")
        levels = numbers(content["levels"] or (), "levels")
        dtype = str(np.dtype(content["dtype"]))
        if not isinstance(content["maps"], bool):
            raise TypeError(f"maps is {content['maps']!r}")
        if len(size) != 3 or len(mean) != len(std) or not mean or min(std) <= 0:
            raise ValueError(f"size {size}, mean {mean}, std {std}")
        if len(spacing) not in (0, 3) or min(spacing, default=1) <= 0:
            raise ValueError(f"spacing {spacing}")
        patch = counts(content["patch"] or (), "patch")
        voxel = numbers(content["voxel"] or (), "voxel")
        if len(voxel) not in (0, 3) or min(voxel, default=1) <= 0:
            raise ValueError(f"voxel {voxel}")
        stored = numbers(content.get("stored_spacing") or (), "stored_spacing")
        if len(stored) not in (0, 6) or min(stored, default=1) <= 0:
            raise ValueError(f"stored_spacing {stored}")
        axes = content.get("turned")
        turned = None if axes is None else tuple(word(each, "turned") for each in axes)
        if len(patch) not in (0, 3) or any(k > n for k, n in zip(patch, size, strict=False)):
            raise ValueError(f"patch {patch}")
        if levels and (len(levels) != 2 or not levels[0] < levels[1]):
            raise ValueError(f"levels {levels}")
        limits = (levels[0], levels[1]) if levels else None
        return cls(
            size,
            mean,
            std,
            spacing or None,
            limits,
            dtype,
            content["maps"],
            patch or None,
            voxel or None,
            stored or None,
            turned,
        )

    # ------------------------------------------------------------------------------ what a net reads

    @property
    def form(self) -> Grid:
        """On which grid volumes are stored."""
        spacing = (
            None if self.spacing is None else (self.spacing[0], self.spacing[1], self.spacing[2])
        )
        return Grid(_sides(self.size), spacing, self.levels)

    @property
    def shape(self) -> Shape:
        """(C, D, H, W)."""
        return (len(self.mean), *(self.patch or self.size))

    def parts(self, stored: Shape) -> list[tuple[slice, ...]]:
        """Windows of the size of those it learned from, each half over the next."""
        if self.patch is None or tuple(stored[1:4]) == self.patch:
            return []
        starts = [
            _starts(side, window) for side, window in zip(stored[1:4], self.patch, strict=True)
        ]
        return [
            tuple(slice(at, at + window) for at, window in zip(place, self.patch, strict=True))
            for place in itertools.product(*starts)
        ]

    @property
    def opening(self) -> dict[str, Any]:
        """The values beyond which they were set to the nearer."""
        return {"levels": self.levels}

    def view(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Volumes as the net is to see them; masks follow them."""
        masks = targets if views.kind == "mask" else None
        policy = views.policy
        if self.patch is not None:
            stored, masks = views_of_volumes.windows(
                stored, masks, views.index, _sides(self.patch), seed=views.seed
            )
        if not views.plain and policy.shifts:
            stored, masks = views_of_volumes.shifted(
                stored, masks, views.generator(), outside=IGNORE
            )
        elif not views.plain and policy.views:
            stored, masks = views_of_volumes.view(
                stored, masks, views.index, policy, seed=views.seed, outside=IGNORE
            )
        return stored, targets if masks is None else self.target(views.kind, masks)

    def target(self, kind: str, stored: Tensor, size: Shape | None = None) -> Tensor:
        """Class numbers [B, D, H, W] of masks [B, D, H, W, 1]; others as they are."""
        del size
        return stored[..., 0].long() if kind == "mask" else stored

    def normalise(self, stored: Tensor) -> Tensor:
        """Volumes [N, D, H, W, C] as [N, C, D, H, W], float32."""
        mean = torch.tensor(self.mean, device=stored.device)
        std = torch.tensor(self.std, device=stored.device)
        x = stored.permute(0, 4, 1, 2, 3).to(
            torch.float32, copy=True, memory_format=torch.contiguous_format
        )
        axes = (-1, 1, 1, 1)
        return x.sub_(mean.view(axes)).div_(std.view(axes))

    # ----------------------------------------------------------------------------------- for people

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """A file of a volume, or a folder of slices or of frames.

        Raises:
            DataError: it cannot be read, or has other channels; with the reason alone.
        """
        del max_pixels
        volume = read_volume(file)
        came = volume.voxels.shape[3]
        if came != len(self.mean):
            raise DataError(f"{came} values a voxel, the net learned from {len(self.mean)}")
        stored = fitted(volume, self.form, np.dtype(np.float32))
        doubts = [self._doubt(stored, volume.spacing), self._turn(volume.turned)]
        return Read(stored, volume.voxels.shape[:3], note="; ".join(filter(None, doubts)))

    def _turn(self, turned: str) -> str:
        """A volume that does not say how its axes lie where those of the training did, or the other way round."""
        if self.turned is None or bool(self.turned) == bool(turned):
            return ""
        if turned:
            return (
                f"its axes lie {turned}, those of the training are not stated: is it turned alike?"
            )
        return f"its axes are not stated, those of the training lay {' or '.join(self.turned)}: is it turned alike?"

    def _doubt(self, stored: NDArray[Any], spacing: Spacing | None) -> str:
        """Voxels of another spacing than those of the training, or values that spread a hundredth or a hundred times as far."""
        if self.voxel is not None and not alike([spacing or (0.0, 0.0, 0.0), _three(self.voxel)]):
            return f"voxels are {spacing_words(spacing)}, the net learned from {spacing_words(_three(self.voxel))}"
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            values = stored[..., channel]
            if not std / _FAR <= float(values.std()) <= std * _FAR:
                low, high = float(values.min()), float(values.max())
                return (
                    f"values from {low:g} to {high:g}, the net learned from {mean:.4g} +- {std:.4g}: "
                    "is that the same scale?"
                )
        return ""

    def write(self, file: Path, stem: str, answer: Any, folder: Path) -> dict[str, str]:
        """The class of every voxel, as NIfTI in the space of a NIfTI file, else as .npy [D, H, W]."""
        if not (isinstance(answer, np.ndarray) and answer.ndim == 3 and answer.dtype == np.uint8):
            return {}
        return {"mask": write_mask(file, stem, answer, folder)}

    def item(self, stored: NDArray[Any], source: Source, number: int) -> NDArray[Any]:
        """As stored, or where answers lie in its own voxels, those."""
        if not self.maps or source.sides() is None:
            return stored
        return source.decode(number, Grid(None, None, self.levels))

    def holds(self, folder: Path) -> bool:
        """Whether it holds DICOM slices, or pictures and no other volumes."""
        return is_item(folder)

    def drawn(self, stored: NDArray[Any]) -> Drawn:
        """The middle slice along each axis side by side, from the least value to the greatest of the volume."""
        return Drawn(slices(np.asarray(stored)))


def slices(voxels: NDArray[Any]) -> U8:
    """The middle slices of a volume [D, H, W, C] side by side, uint8 [H, W, 1 or 3], its least value black."""
    channels = 3 if voxels.shape[3] == 3 else 1
    low, top = float(voxels.min()), float(voxels.max())
    planes = [plane[..., :channels].astype(np.float32) for plane in _middles(voxels)]
    scale = 255 / max(top - low, 1e-12)
    return _row([np.rint((plane - low) * scale).astype(np.uint8) for plane in planes])


def slices_of_mask(numbers: U8) -> U8:
    """The same of class numbers [D, H, W], `IGNORE` between the slices: [H, W]."""
    return _row([np.ascontiguousarray(plane) for plane in _middles(numbers[..., None])])[..., 0]


def _middles(voxels: NDArray[Any]) -> list[NDArray[Any]]:
    """Slices in the middle of depth, height and width.

    Rows run against the axis of height in the first and of depth in the others, so that front and head are on top where
    the axes of a volume are known.
    """
    depth, high, wide = voxels.shape[:3]
    return [voxels[depth // 2, ::-1], voxels[::-1, high // 2], voxels[::-1, :, wide // 2]]


def _row(planes: list[U8]) -> U8:
    """Pictures side by side, white around them."""
    rows, channels = max(plane.shape[0] for plane in planes), planes[0].shape[2]
    row: list[U8] = []
    for plane in planes:
        above = (rows - plane.shape[0]) // 2
        room = ((above, rows - plane.shape[0] - above), (0, _APART), (0, 0))
        row.append(np.pad(plane, room, constant_values=255))
    return np.concatenate(row, 1)[:, :-_APART].reshape(rows, -1, channels)


def _grid(data: Data) -> Grid:
    """That of the set."""
    source = next(iter(data.splits.values())).source
    if isinstance(source, VolumeFiles):
        return source.plan.grid
    return Grid(_sides(source.shape(None)), None, data.levels)


def _enlarged(sides: Sides | None, net: str) -> Sides | None:
    """The same with no side smaller than VoxNet needs, where that is the net."""
    if sides is None or net != NET:
        return sides
    return max(LEAST, sides[0]), max(LEAST, sides[1]), max(LEAST, sides[2])


def _whole(data: Data) -> Sides | None:
    """The size of the set's volumes, however large."""
    source = next(iter(data.splits.values())).source
    return source.plan.whole if isinstance(source, VolumeFiles) else _grid(data).size


def _voxel(data: Data) -> Spacing | None:
    """The spacing of all volumes, where they say one and are not resampled by it."""
    heads = _heads(data)
    said = [one.spacing for one in heads if one.spacing is not None]
    if not said or len(said) < len(heads) or not alike(said) or _grid(data).spacing is not None:
        return None
    return said[0]


def _heads(data: Data) -> list[Head]:
    """What the headers of all volumes in files say."""
    sources = [split.source for split in data.splits.values()]
    return [
        one for source in sources if isinstance(source, VolumeFiles) for one in source.heads if one
    ]


def _spread(spacings: Sequence[Spacing | None]) -> tuple[float, ...] | None:
    """The least and the greatest along each axis; None where one is not stated, or there is none."""
    said = [each for each in spacings if each is not None]
    if not said or len(said) < len(spacings):
        return None
    return (
        *(min(axis) for axis in zip(*said, strict=True)),
        *(max(axis) for axis in zip(*said, strict=True)),
    )


def _turned(heads: Sequence[Head]) -> tuple[str, ...]:
    return tuple(
        axes for axes, _ in Counter(one.turned for one in heads if one.turned).most_common()
    )


def _three(values: tuple[float, ...]) -> Spacing:
    return values[0], values[1], values[2]


def _check_patch(patch: Sides, sides: tuple[int, ...], kind: str) -> None:
    """Refuse windows of what is no mask, or larger than a volume.

    Raises:
        RecipeError: saying so.
    """
    size = "x".join(map(str, patch))
    if kind != "mask":
        raise RecipeError(
            f"patch={size}: windows are learned from masks alone; grid={size} makes volumes smaller"
        )
    came = "x".join(map(str, sides))
    if any(window > side for window, side in zip(patch, sides, strict=True)):
        raise RecipeError(
            f"patch={size} is larger than the volumes, which are {came}: leave it out"
        )


def _starts(side: int, window: int) -> list[int]:
    """Where windows begin along a side, so that each is half over the next at least."""
    count = max(1, math.ceil(2 * (side - window) / window) + 1) if side > window else 1
    return np.linspace(0, side - window, count).round().astype(int).tolist()


def _sides(shape: tuple[int, ...]) -> Sides:
    return shape[0], shape[1], shape[2]
