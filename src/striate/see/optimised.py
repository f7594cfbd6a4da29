"""Pictures that are computed by gradient ascent through a net. N pictures, C channels, H W pixels.

A picture is kept as the amplitudes of its frequencies, scaled so that all of them move alike, and its colours along the
axes in which those of photos vary (Olah, Mordvintsev and Schubert 2017, "Feature Visualization", distill.pub): without
this, gradients fill a picture with high frequencies to which a net answers and which mean nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.see.levels import Levels, as_read

RATE = 0.05  # of Adam, on amplitudes of unit scale
START = 0.01  # deviation of the amplitudes at the start: hardly more than grey
# Square root of the covariance of the colours of photos (ImageNet's), its columns of length one or less.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Spectrum(nn.Module):
    """Pictures [N, C, H, W] of values 0 to 1 that are learned in the space of frequencies."""

    def __init__(
        self, shape: tuple[int, int, int, int], generator: torch.Generator, spread: float
    ) -> None:
        super().__init__()
        _, channels, height, width = shape
        self.size = (height, width)
        rows = torch.fft.fftfreq(height)[:, None]
        columns = torch.fft.rfftfreq(width)[None]
        frequency = torch.sqrt(rows**2 + columns**2)
        # White noise of this scale has the spectrum of photos, 1 / f.
        scale = (height * width) ** 0.5 / frequency.clamp_min(1 / max(height, width))
        self.register_buffer("scale", scale)
        start = torch.randn(*shape[:2], *frequency.shape, 2, generator=generator) * spread
        self.amplitudes = nn.Parameter(start)
        colours = torch.tensor(COLOURS) if channels == 3 else torch.eye(channels)
        self.register_buffer("colours", colours / colours.norm(dim=0).max())

    def forward(self) -> Tensor:
        """The pictures."""
        spectrum = torch.view_as_complex(self.amplitudes) * self.get_buffer("scale")
        plane = torch.fft.irfft2(spectrum, s=self.size)
        return torch.sigmoid(torch.einsum("dc,nchw->ndhw", self.get_buffer("colours"), plane))


def optimised(
    shape: tuple[int, int, int, int],
    loss: Callable[[Tensor], Tensor],
    *,
    steps: int,
    jitter: int,
    levels: Levels | None,
    generator: torch.Generator,
    device: torch.device,
    spread: float = START,
) -> Tensor:
    """Pictures [N, C, H, W] of values 0 to 1 that bring a loss down.

    Args:
        shape: of the pictures.
        loss: of pictures as the net reads them; a number.
        steps: of Adam.
        jitter: pixels by which pictures are moved at random in every step, in both directions.
        levels: how values 0 to 1 become what the net reads: less the mean, over the deviation; as they are if None.
        generator: of the start and of the moves.
        device: where the net is.
        spread: deviation of the amplitudes at the start.

    Raises:
        ArgumentError: fewer than one step.
        ShapeError: levels of another number of channels.
    """
    if steps < 1:
        raise ArgumentError(f"steps={steps}: expected at least 1")
    pictures = Spectrum(shape, generator, spread).to(device)
    optimizer = torch.optim.Adam(pictures.parameters(), lr=RATE)
    with torch.enable_grad():
        for _ in range(steps):
            x = as_read(pictures(), levels)
            if jitter:
                move = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
                x = torch.roll(x, move, (2, 3))
            optimizer.zero_grad()
            loss(x).backward()
            optimizer.step()
    with torch.no_grad():
        return pictures().detach()
