"""Log-mel spectra of waves. B batch, T samples, C spectra, F bands, N frames.

A short-time Fourier transform, its power summed in triangular bands that are equally wide on the mel scale of Stevens and
Volkmann (m = 2595 log10(1 + f / 700), O'Shaughnessy 1987), and the logarithm of that. Several window lengths give several
spectra of the same frames and bands: short ones are sharp in time, long ones in frequency.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

RANGE = 8.0  # powers of ten below the loudest place of a sound that are told apart: 80 dB
QUIET = -6.0  # log10 of the power at which a sound is too quiet to be made as loud as others
_LEAST = 10.0 ** (QUIET - RANGE)
_LARGEST = 8  # times the length of a window that it is filled up to with zeros


@dataclass(frozen=True)
class Spectra:
    """How waves become spectra.

    Attributes:
        rate: samples a second of the waves.
        mels: bands of frequencies, from 0 to half the rate.
        windows: lengths of the windows in samples, one for each spectrum.
        hop: samples from one frame to the next.
    """

    rate: int
    mels: int
    windows: tuple[int, ...]
    hop: int

    def frames(self, samples: int) -> int:
        """Of a wave: the first is centred on its first sample."""
        return 1 + samples // self.hop

    @cached_property
    def transform(self) -> int:
        """Points of the Fourier transform: a power of two, such that every band holds a frequency."""
        points = 2 ** math.ceil(math.log2(max(self.windows)))
        most = _LARGEST * points
        while points < most and bool((bands(self.rate, self.mels, points).sum(1) == 0).any()):
            points *= 2
        return points

    def __call__(self, waves: Tensor) -> Tensor:
        """Waves [B, T] of -1 to 1 as log10 of the power of each band below that of the loudest place, [B, C, F, N].

        The loudest place of every item is 0, what is 80 dB below it or quieter is -8: how loud a recording is says nothing.
        Of silence all is -8.
        """
        weights = bands(self.rate, self.mels, self.transform).to(waves.device)
        sums = [weights @ self._power(waves, window) for window in self.windows]
        x = torch.stack(sums, 1).clamp_min(_LEAST).log10()
        loudest = x.amax((2, 3), keepdim=True).clamp_min(QUIET)
        return (x - loudest).clamp_min(-RANGE)

    def _power(self, waves: Tensor, window: int) -> Tensor:
        """Of each frequency and frame, [B, T / 2 + 1, N], as if all windows had the same sum."""
        shape = torch.hann_window(window, device=waves.device)
        found = torch.stft(
            waves,
            self.transform,
            self.hop,
            window,
            shape / shape.sum(),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        return found.real.square() + found.imag.square()


@lru_cache(maxsize=16)
def bands(rate: int, mels: int, points: int) -> Tensor:
    """Weights of the frequencies of a transform in each band [mels, points / 2 + 1]: triangles of height 1."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, top, mels + 2, dtype=torch.float64) / 2595) - 1)
    at = torch.arange(points // 2 + 1, dtype=torch.float64) * rate / points
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
    return torch.minimum(rising, falling).clamp_min(0).float()
