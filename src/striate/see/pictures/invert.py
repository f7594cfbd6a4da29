"""What a layer keeps of a picture: another picture that gives it the same features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError
from striate.models.backbone import last_layer
from striate.probe import as_eval, frozen, layer_output
from striate.result import text_table
from striate.see import paint
from striate.see.levels import Levels, as_read, as_shown
from striate.see.optimised import optimised
from striate.see.plates import Plate, Plates, Row
from striate.text import percent

ROUGH = 1e-3  # weight of the total variation


@dataclass(frozen=True, eq=False)
class Inverted(Plates):
    """Pictures and those that were made from their features.

    Attributes:
        paths: of the layers.
        inputs: float32 [N, C, H, W], 0 to 1.
        pictures: one [N, C, H, W] a layer, 0 to 1.
        errors: [layers, N]: the squared distance of the features, over the squared norm of those of the picture.
        steps: of the descent.
    """

    paths: tuple[str, ...]
    inputs: NDArray[np.float32] = field(repr=False)
    pictures: tuple[NDArray[np.float32], ...] = field(repr=False)
    errors: NDArray[np.float64] = field(repr=False)
    steps: int

    def heading(self) -> str:
        """What is shown."""
        return f"pictures with the same features as the first row, made in {self.steps} steps from noise"

    def rows(self) -> list[Row]:
        """The pictures themselves, then a row a layer with the part of the features that is not matched."""
        rows = [Row([Plate(tile) for tile in _tiles(self.inputs)], "given")]
        for path, pictures, errors in zip(self.paths, self.pictures, self.errors, strict=True):
            plates = [
                Plate(
                    tile, f"{percent(error)} missed", f"{path}: {error:.3g} of the features missed"
                )
                for tile, error in zip(_tiles(pictures), errors.tolist(), strict=True)
            ]
            rows.append(Row(plates, path))
        return rows

    def as_dict(self) -> dict[str, Any]:
        """The relative error of each layer and picture."""
        return {
            "steps": self.steps,
            "layers": [
                {"path": path, "errors": errors.tolist()}
                for path, errors in zip(self.paths, self.errors, strict=True)
            ],
        }

    def as_text(self) -> str:
        """A row a layer."""
        rows = [
            [path, *(f"{error:.4f}" for error in errors)]
            for path, errors in zip(self.paths, self.errors.tolist(), strict=True)
        ]
        head = ["layer", *(f"picture {i + 1}" for i in range(len(self.inputs)))]
        return f"{self.heading()}\n\n{text_table(head, rows)}"


def invert(
    net: nn.Module,
    images: Tensor,
    *,
    layer: Sequence[str] = (),
    steps: int = 200,
    seed: int = 0,
    levels: Levels | None = None,
) -> Inverted:
    """Pictures that give a layer the features of others, found from noise; the net stays as it is.

    Mahendran and Vedaldi 2015, arXiv 1412.0035, with the frequencies of Olah et al. 2017 in place of their prior.

    Args:
        net: any module that reads pictures.
        images: [N, C, H, W] as the net takes them, normalised.
        layer: by name, several if given more than once; the last one if not given.
        steps: of the descent.
        seed: of the noise.
        levels: mean and deviation a channel by which `images` were normalised from values 0 to 1.

    Raises:
        ArgumentError: no such layer, or fewer than one step.
        ShapeError: `images` is no batch of pictures, or levels are of another number of channels.
    """
    if images.ndim != 4 or not len(images):
        raise ShapeError(
            f"images: got {tuple(images.shape)}, expected (items, channels, height, width)"
        )
    paths = tuple(layer) or (last_layer(net),)
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    given = images.to(device)
    found = [_inverted(net, given, path, steps, seed, levels) for path in paths]
    return Inverted(
        paths,
        as_shown(given, levels).float().cpu().numpy(),
        tuple(pictures.float().cpu().numpy() for pictures, _ in found),
        np.array([errors.tolist() for _, errors in found]),
        steps,
    )


def _inverted(
    net: nn.Module, images: Tensor, path: str, steps: int, seed: int, levels: Levels | None
) -> tuple[Tensor, Tensor]:
    with as_eval(net), frozen(net):
        with torch.no_grad():
            wanted = layer_output(net, path, images)
        norms = wanted.flatten(1).square().sum(1).clamp_min(1e-12)
        if not torch.isfinite(norms).all():
            raise ArgumentError(f"{path}: its features are no finite numbers")

        def missed(x: Tensor) -> Tensor:
            return (layer_output(net, path, x) - wanted).flatten(1).square().sum(1) / norms

        def loss(x: Tensor) -> Tensor:
            across = (x[:, :, 1:] - x[:, :, :-1]).abs().mean() + (
                x[..., 1:] - x[..., :-1]
            ).abs().mean()
            return missed(x).sum() + ROUGH * across

        shape = (len(images), *images.shape[1:])
        pictures = optimised(
            (shape[0], shape[1], shape[2], shape[3]),
            loss,
            steps=steps,
            jitter=0,  # the features to match are of one place
            levels=levels,
            generator=torch.Generator().manual_seed(seed),
            device=images.device,
        )
        with torch.no_grad():
            return pictures, missed(as_read(pictures, levels))


def _tiles(pictures: NDArray[np.float32]) -> list[paint.Pixels]:
    pixels = np.rint(pictures.transpose(0, 2, 3, 1).clip(0, 1) * 255).astype(np.uint8)
    return list(pixels if pixels.shape[-1] == 3 else pixels[..., :1].repeat(3, axis=-1))
