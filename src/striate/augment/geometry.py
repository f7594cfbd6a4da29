"""Where every pixel of a view comes from. B batch, C channels, H W pixels, x to the right, y down.

Each step is a 3x3 matrix an item, from places of the view to places of the stored picture, both in pixels from
their middles; matrices multiply, so any number of steps is one resampling. Pictures, masks and boxes of an
item share its geometry.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.augment.draws import Draws
from striate.augment.policy import Policy

GRID = 4  # control points a side of the elastic field
# Points along a box's edge, and rounds in which they find the places they were bent from.
EDGE, ROUNDS = 9, 12


@dataclass(frozen=True)
class Geometry:
    """Places of a batch of views.

    Attributes:
        matrix: [B, 3, 3], view to picture, homogeneous, from middle to middle.
        size: (h, w) of the view.
        stored: (H, W) of the picture.
        bend: [B, 2, GRID, GRID], displacement in pixels of the picture at control points, x then y; or None.
    """

    matrix: Tensor
    size: tuple[int, int]
    stored: tuple[int, int]
    bend: Tensor | None = None

    def places(self) -> Tensor:
        """For every pixel of the views the place in the picture [B, h, w, 2], -1..1 from edge to edge."""
        h, w = self.size
        y, x = (torch.arange(n, dtype=torch.float32, device=self.matrix.device) for n in (h, w))
        y, x = y - (h - 1) / 2, x - (w - 1) / 2
        flat = torch.stack(
            [x.repeat(h), y.repeat_interleave(w), torch.ones(h * w, device=x.device)]
        )
        at = self.matrix @ flat
        at = at[:, :2] if self._affine else at[:, :2] / at[:, 2:].clamp_min(1e-3)
        at = at.unflatten(2, (h, w))
        if self.bend is not None:
            at = at + F.interpolate(self.bend, (h, w), mode="bicubic", align_corners=True)
        half = at.new_tensor([self.stored[1] / 2, self.stored[0] / 2])
        return (at / half[:, None, None]).permute(0, 2, 3, 1)

    @property
    def _affine(self) -> bool:
        last = self.matrix[:, 2]
        return bool((last[:, :2] == 0).all() and (last[:, 2] == 1).all())

    def pictures(self, x: Tensor) -> Tensor:
        """Views [B, C, h, w] of float pictures [B, C, H, W]: bilinear, edges mirrored."""
        return F.grid_sample(
            x, self.places(), mode="bilinear", padding_mode="reflection", align_corners=False
        )

    def masks(self, masks: Tensor, *, outside: int) -> Tensor:
        """Views [B, h, w] of masks [B, H, W] of whole numbers: the nearest pixel, `outside` beyond the edge."""
        shifted = masks[:, None].to(torch.float32) - outside
        found = F.grid_sample(
            shifted, self.places(), mode="nearest", padding_mode="zeros", align_corners=False
        )
        return (found[:, 0] + outside).round().to(masks.dtype)

    def boxes(self, item: int, boxes: Tensor, *, least: float = 0.1) -> tuple[Tensor, Tensor]:
        """Boxes [n, 4] of one item's picture (x0, y0, x1, y1 in pixels) in its view, and which are kept.

        A box becomes the smallest upright one around its moved outline and is cut at the edge; it is kept if
        at least the share `least` of it is still there.
        """
        (H, W), (h, w) = self.stored, self.size
        there = _outline(boxes.to(torch.float32)) - boxes.new_tensor([W / 2, H / 2]).float()
        back = torch.linalg.inv(self.matrix[item].double()).to(torch.float32)
        moved = _projected(back, there)
        if (
            self.bend is not None
        ):  # the matrix undone where the bend came from, found by going there
            for _ in range(ROUNDS):
                moved = _projected(back, there - self._bent(item, moved))
        moved = moved + moved.new_tensor([w / 2, h / 2])
        low, high = moved.amin(1), moved.amax(1)
        area = (high - low).prod(1)
        edge = moved.new_tensor([w, h])
        low, high = low.clamp_min(0).minimum(edge), high.clamp_min(0).minimum(edge)
        kept = (high - low).prod(1) >= least * area.clamp_min(1e-6)
        return torch.cat([low, high], 1), kept & (area > 0)

    def _bent(self, item: int, at: Tensor) -> Tensor:
        """The bend at places of a view [n, P, 2] from its middle, as `places` has it between pixels."""
        if self.bend is None:
            return torch.zeros_like(at)
        half = at.new_tensor([max(1, self.size[1] - 1) / 2, max(1, self.size[0] - 1) / 2])
        found = F.grid_sample(
            self.bend[item : item + 1],
            (at / half)[None],
            mode="bicubic",
            padding_mode="border",
            align_corners=True,
        )
        return found[0].permute(1, 2, 0)


def _outline(boxes: Tensor) -> Tensor:
    """Points around boxes [n, 4], corners among them: [n, 4 * EDGE, 2], x then y."""
    x0, y0, x1, y1 = boxes[:, :, None].unbind(1)
    along = torch.linspace(0, 1, EDGE, device=boxes.device)
    x, y = torch.lerp(x0, x1, along), torch.lerp(y0, y1, along)
    sides = [(x, y0), (x, y1), (x0, y), (x1, y)]
    return torch.cat([torch.stack(torch.broadcast_tensors(*side), 2) for side in sides], 1)


def _projected(matrix: Tensor, at: Tensor) -> Tensor:
    """Places [n, P, 2] through a 3x3 matrix."""
    moved = at @ matrix[:, :2].T + matrix[:, 2]
    return moved[..., :2] / moved[..., 2:]


def draw(
    policy: Policy, draws: Draws, *, stored: tuple[int, int], size: tuple[int, int]
) -> Geometry:
    """The geometry of a batch: steps in the order of `policy.WORDS`."""
    steps = {**dict(policy.of("place")), **dict(policy.of("warp"))}
    frame = Frame(draws, stored, size)
    first = draws.uniform()
    matrix = torch.eye(3, device=first.device).repeat(len(first), 1, 1)
    for name, strength in steps.items():
        if name != "elastic":
            matrix = matrix @ STEPS[name](frame, strength)
    bend = _elastic(draws, steps["elastic"], stored) if "elastic" in steps else None
    return Geometry(matrix, size, stored, bend)


Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """What a step knows: the numbers of its items, and the sizes of picture and view."""

    draws: Draws
    stored: Size
    size: Size


def _affine(a: Tensor, b: Tensor, c: Tensor, d: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """[[a, b, c], [d, e, f], [0, 0, 1]] an item."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack([a, b, c, d, e, f, zero, zero, one], 1).unflatten(1, (3, 3))


def _moved(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _affine(one, zero, x, zero, one, y)


def _scaled(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _affine(x, zero, zero, zero, y, zero)


def _crop(at: Frame, _strength: float) -> Tensor:
    """A window at whole pixels anywhere in the picture."""
    places = [
        at.draws.whole(n - k + 1) - (n - k) / 2 for n, k in zip(at.stored, at.size, strict=True)
    ]
    return _moved(places[1], places[0])


def _flip(at: Frame, strength: float) -> Tensor:
    sign = 1.0 - 2.0 * at.draws.chance(strength)
    return _scaled(sign, torch.ones_like(sign))


def _flip_vertical(at: Frame, strength: float) -> Tensor:
    sign = 1.0 - 2.0 * at.draws.chance(strength)
    return _scaled(torch.ones_like(sign), sign)


def _resized(at: Frame, strength: float) -> Tensor:
    """Area and shape of the window at random (Szegedy et al. 2015), its place too, within the picture."""
    area = at.draws.uniform(strength, 1) * at.stored[0] * at.stored[1]
    ratio = torch.exp(at.draws.uniform(math.log(3 / 4), math.log(4 / 3)))
    wide = torch.sqrt(area * ratio).clamp_max(at.stored[1])
    high = torch.sqrt(area / ratio).clamp_max(at.stored[0])
    x = at.draws.uniform(-0.5, 0.5) * (at.stored[1] - wide)
    y = at.draws.uniform(-0.5, 0.5) * (at.stored[0] - high)
    return _moved(x, y) @ _scaled(wide / at.size[1], high / at.size[0])


def _translate(at: Frame, strength: float) -> Tensor:
    return _moved(
        at.draws.uniform(-strength, strength) * at.size[1],
        at.draws.uniform(-strength, strength) * at.size[0],
    )


def _scale(at: Frame, strength: float) -> Tensor:
    """Enlarging and reducing are equally likely: the logarithm is uniform."""
    most = math.log1p(strength)
    factor = torch.exp(at.draws.uniform(-most, most))
    return _scaled(factor, factor)


def _rotate(at: Frame, strength: float) -> Tensor:
    angle = at.draws.uniform(-math.radians(strength), math.radians(strength))
    sine, cosine, zero = torch.sin(angle), torch.cos(angle), torch.zeros_like(angle)
    return _affine(cosine, -sine, zero, sine, cosine, zero)


def _shear(at: Frame, strength: float) -> Tensor:
    slant = torch.tan(at.draws.uniform(-math.radians(strength), math.radians(strength)))
    zero, one = torch.zeros_like(slant), torch.ones_like(slant)
    return _affine(one, slant, zero, zero, one, zero)


def _perspective(at: Frame, strength: float) -> Tensor:
    """The plane tilted: the last row of the matrix, bounded so that no corner passes the horizon."""
    x = at.draws.uniform(-strength, strength) / at.size[1]
    y = at.draws.uniform(-strength, strength) / at.size[0]
    matrix = _moved(torch.zeros_like(x), torch.zeros_like(x))
    matrix[:, 2, 0], matrix[:, 2, 1] = x, y
    return matrix


def _elastic(draws: Draws, strength: float, stored: Size) -> Tensor:
    """Displacements at GRID x GRID points, smooth between them."""
    sides = (stored[1], stored[0])
    points = [draws.uniform(-strength, strength) for _ in range(2 * GRID * GRID)]
    field = torch.stack(points, 1).unflatten(1, (2, GRID, GRID))
    return field * field.new_tensor(sides)[:, None, None]


STEPS = {
    "crop": _crop,
    "flip": _flip,
    "flip_vertical": _flip_vertical,
    "resized": _resized,
    "translate": _translate,
    "scale": _scale,
    "rotate": _rotate,
    "shear": _shear,
    "perspective": _perspective,
}
