"""From stored pictures to what a net takes. N items, H W pixels, C channels."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.data import Images
from striate.errors import CheckpointError


@dataclass(frozen=True)
class Preprocessing:
    """Resize (shorter side to `resize`, centre cut), crop the centre `size`, subtract mean, divide by std.

    Mean and standard deviation are per channel, of values 0..255, measured on the training items.
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    color: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measured(
        cls, images: Images, size: tuple[int, int], color: str, *, limit: int = 5000
    ) -> "Preprocessing":
        """With mean and deviation of up to `limit` of the images [N, H, W, C], evenly picked."""
        counts = np.zeros(
            (images.shape[-1], 256), np.int64
        )  # a histogram: pixels need no room as floats
        for image in images[:: -(-len(images) // limit)]:
            for channel in range(len(counts)):
                counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
        share = counts / counts.sum(1, keepdims=True)
        mean = share @ np.arange(256)
        variance = (share * (np.arange(256) - mean[:, None]) ** 2).sum(1)
        std = np.sqrt(variance).clip(1.0)  # a constant channel must not be blown up
        height, width = images.shape[1:3]
        return cls(size, (height, width), color, tuple(mean.tolist()), tuple(std.tolist()))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Preprocessing":
        """Read back what `as_dict` gave.

        Raises:
            CheckpointError: a field is missing or of the wrong kind.
        """
        try:
            (h, w), (rh, rw) = content["size"], content["resize"]
            mean, std = (tuple(float(v) for v in content[key]) for key in ("mean", "std"))
            return cls((int(h), int(w)), (int(rh), int(rw)), str(content["color"]), mean, std)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"config.json: its preprocessing is damaged ({error!r})"
            ) from error

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return asdict(self)

    def centre(self, images: Tensor) -> Tensor:
        """The middle `size` of stored pictures [N, H, W, C]."""
        (height, width), (h, w) = self.resize, self.size
        top, left = (height - h) // 2, (width - w) // 2
        return images[:, top : top + h, left : left + w]

    def normalise(self, images: Tensor) -> Tensor:
        """Pictures [N, H, W, C] uint8 as a float32 batch [N, C, H, W], channels last in memory."""
        mean = torch.tensor(self.mean, device=images.device)
        std = torch.tensor(self.std, device=images.device)
        return images.float().sub_(mean).div_(std).permute(0, 3, 1, 2)
