"""Sounds: waves of one rate and length, viewed at random in training, read as log-mel spectra or as they are.

B batch, T samples. What suits a set of sounds follows from the rates and lengths in their headers.
"""

import io
import math
import wave
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.augment import read, sound
from striate.augment.draws import Draws
from striate.data import AnyForm, Data, Images, files
from striate.data.sounds import Wave, fitted, mono, resampled, sampled, stored
from striate.errors import RecipeError
from striate.inputs.default_net import of_spectra
from striate.inputs.fields import counts, numbers, word
from striate.inputs.preprocessing import Drawn, Preprocessing, Read, Settings, Shape, Views
from striate.inputs.spectra import RANGE, Spectra
from striate.models import catalog

REPRESENTATIONS = ("mel", "frames", "wave")
OVER_TIME = {"frames": "tdnn", "wave": "fcn1d"}  # nets where spectra are no maps
WIDTHS = {
    "resnet20_cifar": 0.5,
    "tdnn": 16.0,
}  # of the published ones: half is enough, and eight units were for three syllables
RATE = 22_050  # Hz: sounds of higher rates are resampled to it where no rate is asked for
TALKS = 16_000  # Hz from which on a sound gets more bands
BANDS = (40, 64)
SHARE = 0.95  # of the sounds that are whole in the usual length
SECONDS = 10.0  # the longest usual length
LONG = 1.5  # times the length that a net hears: longer sounds are answered in windows
WINDOW, HOP = 25.0, 10.0  # ms, as is usual of speech
FRAMES = 250  # of the usual length at most: longer sounds get a larger hop
LOOKED_AT = 1000  # sounds from which mean and deviation are measured
PLAYED = 8_000  # Hz of what a report plays, at most:
PLAYED_SECONDS = 6.0
_PIXELS = 2  # of a picture for each band and frame
_FULL = 32_768.0


@dataclass(frozen=True)
class Sounds(Preprocessing):
    """Waves, read as spectra [C, F, N] ("mel"), with all bands as channels [C * F, N] ("frames"), or as waves [1, T] ("wave").

    Attributes:
        rate: samples a second.
        samples: that the net reads.
        stored: that are stored; more than those where windows of them are taken in training.
        representation: of `REPRESENTATIONS`.
        mels: bands.
        windows: lengths of the windows in samples; each gives a spectrum.
        hop: samples from one frame to the next.
        mean: of each band of each spectrum, or of the waves, measured on the training items.
        std: likewise the standard deviation.
    """

    modality: ClassVar[str] = "sound"
    view_kinds: ClassVar[tuple[str, ...]] = ("wave", "spectrum", "mix")
    view_names: ClassVar[tuple[str, ...]] = ("crop",)
    settings: ClassVar[tuple[str, ...]] = (
        "seconds",
        "rate",
        "representation",
        "mels",
        "win_ms",
        "hop_ms",
    )
    rate: int
    samples: int
    stored: int
    representation: str
    mels: int
    windows: tuple[int, ...]
    hop: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    # ------------------------------------------------------------------- before anything is decoded

    @classmethod
    def defaults(cls, data: Data, recipe: Settings, *, own_net: bool) -> dict[str, Any]:
        """A residual net on log-mel spectra for which there is time; rate and length as most of the sounds have them."""
        rate = recipe.rate or _usual_rate(data)
        length = recipe.seconds or _usual_seconds(data)
        views = "delay+speed"
        if float(np.median(data.facts.get("seconds", (length,)))) > LONG * length:
            views = f"crop+{views}"
        kind = recipe.representation
        net = recipe.net or (None if own_net else OVER_TIME.get(kind or ""))
        mels = recipe.mels or BANDS[rate >= TALKS]
        hop_ms = max(HOP, math.ceil(1000 * length / FRAMES))
        usual = {
            "rate": rate,
            "seconds": length,
            "representation": kind or _representation(net),
            "mels": mels,
            "win_ms": (WINDOW,),
            "hop_ms": hop_ms,
            "augment": views,
        }
        if net or own_net:
            width = {"width": WIDTHS[net]} if net in WIDTHS and not recipe.weights else {}
            return {"net": net, **width, **usual}
        hop = round((recipe.hop_ms or hop_ms) * rate / 1000)
        size = (mels, 1 + round(rate * length) // max(1, hop))
        return {**usual, **of_spectra(len(data.splits["train"]), size, recipe)}

    @classmethod
    def axes_of(cls, recipe: Settings) -> int:
        """Three of spectra as maps; two with bands as channels, of waves, and of nets over time."""
        kind = recipe.representation or _representation(recipe.net)
        return cls.axes if kind == "mel" else 2

    @classmethod
    def refuse(cls, recipe: Settings) -> None:
        """Refuse views of pictures, and spectra that cannot be.

        Raises:
            RecipeError: naming the setting.
        """
        super().refuse(recipe)
        made = cls._settled(recipe)
        if made.representation not in REPRESENTATIONS:
            raise RecipeError(
                f"representation={made.representation}: expected {', '.join(REPRESENTATIONS)}"
            )
        steps = dict(read(recipe.augment).steps)
        if made.representation != "mel" and "cutmix" in steps:
            raise RecipeError(f"augment={recipe.augment}: cutmix needs representation=mel")
        if made.representation == "wave" and "mask" in steps:
            raise RecipeError(f"augment={recipe.augment}: mask needs spectra, not waves")
        if made.representation != "wave" and not (
            made.hop >= 1 and min(made.windows) >= 2 and max(made.windows) <= made.samples
        ):
            raise RecipeError(
                f"win_ms={','.join(f'{w:g}' for w in recipe.win_ms or ())} and hop_ms={recipe.hop_ms} do not fit sounds "
                f"of {recipe.seconds:g} s at {made.rate:,} Hz"
            )

    @classmethod
    def _settled(cls, recipe: Settings, stored_samples: int = 0) -> Self:
        """From a settled recipe, nothing measured yet."""
        rate, length = recipe.rate or RATE, recipe.seconds or 1.0
        samples = max(1, round(rate * length))
        return cls(
            rate,
            samples,
            max(samples, stored_samples),
            recipe.representation or "mel",
            recipe.mels or BANDS[0],
            tuple(round(ms * rate / 1000) for ms in recipe.win_ms or (WINDOW,)),
            round((recipe.hop_ms or HOP) * rate / 1000),
        )

    @classmethod
    def planned(cls, data: Data, recipe: Settings, fit: str) -> AnyForm:
        """At the rate and the length of the recipe; in full where training takes windows of them."""
        del fit
        settled = cls._settled(recipe)
        length = settled.samples
        if "crop" in dict(read(recipe.augment).steps):
            longest = max(data.facts.get("seconds", (0.0,)))
            length = max(length, math.ceil(min(longest, 30.0) * settled.rate))
        return Wave(settled.rate, length)

    @classmethod
    def planned_shape(cls, data: Data, recipe: Settings) -> Shape:
        """Channels first."""
        del data
        return cls._settled(recipe).shape

    @classmethod
    def planned_bytes(cls, data: Data, recipe: Settings, fit: str) -> int:
        """Of the waves."""
        return 2 * len(data.splits["train"]) * cls.planned(data, recipe, fit).samples

    @classmethod
    def remarks(cls, data: Data, recipe: Settings) -> list[str]:
        """What is cut off, and how they are heard."""
        made = cls._settled(recipe)
        lengths, rates = data.facts.get("seconds", []), data.facts.get("rate", [])
        heard = f"sounds of {recipe.seconds:g} s at {made.rate:,} Hz"
        if made.representation != "wave":
            windows = " and ".join(f"{ms:g}" for ms in recipe.win_ms or ())
            heard += f", {made.mels} mel bands, windows of {windows} ms every {recipe.hop_ms:g} ms"
        lines = [heard, *data.remarks]
        long = sum(length > (recipe.seconds or 0) + 1e-3 for length in lengths)
        if long:
            lines.append(
                f"{long:,} of {len(lengths):,} sounds are longer than {recipe.seconds:g} s: evaluation hears the middle "
                "of each (seconds= changes that)"
            )
        other = sum(rate != made.rate for rate in rates)
        if other:
            lines.append(f"{other:,} of {len(rates):,} sounds are resampled to {made.rate:,} Hz")
        return lines

    # -------------------------------------------------------------------------------- made, and kept

    @classmethod
    def of(cls, inputs: Images, data: Data, recipe: Settings, form: AnyForm) -> Self:
        """With mean and deviation of some of the sounds, evenly picked."""
        del data
        made = cls._settled(recipe, form.samples)
        some = inputs[:: -(-len(inputs) // LOOKED_AT)]
        sums, squares, count = 0.0, 0.0, 0
        for start in range(0, len(some), 64):
            x = made._heard(made.centre(torch.from_numpy(np.array(some[start : start + 64]))))
            x = (x.flatten(1, 2) if x.ndim == 4 else x).double()
            sums, squares = sums + x.sum((0, 2)), squares + x.square().sum((0, 2))
            count += len(x) * x.shape[2]
        mean = torch.as_tensor(sums) / count
        std = (torch.as_tensor(squares) / count - mean.square()).clamp_min(0).sqrt()
        std = torch.where(std > 1e-6, std, 1.0)  # a band without any sound must not be blown up
        return replace(made, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    def as_learned(self, known: Preprocessing | None, weights: str) -> tuple[Preprocessing, str]:
        """With mean and deviation of weights that learned from the same spectra."""
        if not isinstance(known, Sounds) or known.heard != self.heard:
            return self, f"{weights} learned from other inputs: sounds are normalised by these data"
        return replace(self, mean=known.mean, std=known.std), f"normalised as for {weights}"

    @property
    def heard(self) -> tuple[Any, ...]:
        """All that decides the values of a spectrum."""
        return (self.rate, self.representation, self.mels, self.windows, self.hop)

    @classmethod
    def _from_dict(cls, content: Mapping[str, Any]) -> Self:
        names = ("rate", "samples", "stored", "mels", "hop")
        whole = {name: counts([content[name]], name)[0] for name in names}
        mean, std = (numbers(content[key], key) for key in ("mean", "std"))
        windows = counts(content["windows"], "windows")
        kind = word(content["representation"], "representation")
        made = cls(**whole, representation=kind, windows=windows, mean=mean, std=std)
        bands = 1 if kind == "wave" else made.mels * len(windows)
        if kind not in REPRESENTATIONS or not windows or made.stored < made.samples:
            raise ValueError(f"{kind}, windows {windows}, {made.stored} of {made.samples}")
        if not len(mean) == len(std) == bands or min(std) <= 0:
            raise ValueError(f"{len(mean)} means and {len(std)} deviations of {bands} bands")
        return made

    # ------------------------------------------------------------------------------ what a net reads

    @cached_property
    def spectra(self) -> Spectra:
        """How waves become spectra."""
        return Spectra(self.rate, self.mels, self.windows, self.hop)

    @property
    def form(self) -> Wave:
        """In which sounds are stored."""
        return Wave(self.rate, self.stored)

    @property
    def shape(self) -> Shape:
        """Of one as the net reads it."""
        if self.representation == "wave":
            return (1, self.samples)
        frames = self.spectra.frames(self.samples)
        if self.representation == "frames":
            return (len(self.windows) * self.mels, frames)
        return (len(self.windows), self.mels, frames)

    def values(self, stored: Shape) -> int:
        """Places of what the net reads."""
        del stored
        return math.prod(self.shape[1:])

    def view(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """Waves of -1 to 1: a window, moved, faster or slower, with noise, as the policy says."""
        steps = dict(views.policy.steps)
        if views.plain or not steps:
            return _floats(self.centre(stored)), targets
        draws = Draws(views.seed, views.index)
        waves = _floats(self._windows(stored, draws) if "crop" in steps else self.centre(stored))
        if "delay" in steps:
            waves = sound.shifted(waves, draws, most=steps["delay"])
        if "speed" in steps:
            waves = sound.faster(waves, draws, most=steps["speed"])
        if "snr" in steps:
            waves = sound.noisy(waves, draws, snr=steps["snr"])
        return waves, targets

    def _windows(self, stored: Tensor, draws: Draws) -> Tensor:
        """A part of each wave, anywhere in it; where that is short its middle, with the silence that it was laid into."""
        sounding = stored != 0
        first = sounding.int().argmax(1)
        last = self.stored - sounding.flip(1).int().argmax(1)
        spare = last - first - self.samples
        start = torch.where(
            spare > 0,
            first + (draws.uniform().to(stored.device) * (spare + 1)).long(),
            first + spare // 2,
        ).clamp(0, self.stored - self.samples)
        at = start[:, None] + torch.arange(self.samples, device=stored.device)
        return stored.gather(1, at)

    def batch(self, stored: Tensor, targets: Tensor, views: Views) -> tuple[Tensor, Tensor]:
        """With bands and spans hidden, where the policy says so."""
        waves, targets = self.view(stored, targets, views)
        x = self.normalise(waves)
        most = dict(views.policy.steps).get("mask")
        if most and not views.plain:
            draws = Draws(views.seed + 1, views.index)  # others than those of the waves
            maps = x.unflatten(1, (len(self.windows), -1)) if x.ndim == 3 else x
            x = sound.masked(maps, draws, most=most).reshape(x.shape)
        return x, targets

    def centre(self, stored: Tensor) -> Tensor:
        """The middle of each wave."""
        first = (stored.shape[1] - self.samples) // 2
        return stored[:, first : first + self.samples]

    def normalise(self, stored: Tensor) -> Tensor:
        """Waves [N, T], whole numbers of 16 bits or of -1 to 1, as what the net reads."""
        x = self._heard(stored)
        mean, std = (torch.tensor(each, device=x.device) for each in (self.mean, self.std))
        shape = (1, len(self.windows), self.mels, 1) if x.ndim == 4 else (1, -1, 1)
        return (x - mean.view(shape)).div_(std.view(shape))

    def _heard(self, stored: Tensor) -> Tensor:
        waves = stored if stored.is_floating_point() else _floats(stored)
        if self.representation == "wave":
            return waves[:, None]
        x = self.spectra(waves)
        return x.flatten(1, 2) if self.representation == "frames" else x

    # ----------------------------------------------------------------------------------- for people

    def read(self, file: Path, *, max_pixels: int) -> Read:
        """A sound; of a long one its windows, which follow each other, the last up to its end.

        Raises:
            DataError: it cannot be read; with the reason alone.
        """
        del max_pixels
        found = sampled(files.read(file))
        heard = stored(mono(found, self.rate))
        note = "" if heard.any() else "it is silent"
        if len(heard) <= LONG * self.samples:
            return Read(fitted(heard, self.stored), note=note)
        last = len(heard) - self.samples
        firsts = [*range(0, last, self.samples), last]
        parts = np.stack([fitted(heard[i : i + self.samples], self.stored) for i in firsts])
        spans = tuple((i / self.rate, (i + self.samples) / self.rate) for i in firsts)
        return Read(parts, windows=spans, note=note)

    def drawn(self, stored: NDArray[Any]) -> Drawn | None:
        """Its spectrum, low frequencies at the bottom, and the sound to play."""
        shown = self if self.representation != "wave" else None
        spectra = (
            self.spectra
            if shown
            else Spectra(self.rate, BANDS[0], (self.rate // 40,), max(1, self.rate // 100))
        )
        x = spectra(_floats(torch.from_numpy(np.array(stored))[None]))[0, 0]
        grey = ((x.flip(0) + RANGE) * (255 / RANGE)).round().to(torch.uint8).numpy()
        large = grey.repeat(_PIXELS, 0).repeat(_PIXELS, 1)
        return Drawn(large[..., None], sound=_wav_file(_heard_part(stored), self.rate))


def _floats(waves: Tensor) -> Tensor:
    return waves.to(torch.float32) / _FULL


def _usual_rate(data: Data) -> int:
    """That of most sounds, but no more than is needed to tell them apart."""
    rates = Counter(data.facts.get("rate", ()))
    return min(RATE, int(rates.most_common(1)[0][0])) if rates else RATE


def _usual_seconds(data: Data) -> float:
    """In which most sounds are whole, to a tenth of a second above."""
    lengths = np.array(data.facts.get("seconds", (1.0,)))
    least = float(np.quantile(lengths, SHARE))
    if float(lengths.max()) <= 1.1 * least:
        least = float(lengths.max())
    return min(SECONDS, max(0.1, math.ceil(least * 10 - 1e-6) / 10))


def _representation(net: str | None) -> str:
    """Bands as channels for nets over time, maps for all others."""
    return "frames" if net and len(catalog.entry(net).input) == 2 else "mel"


def _heard_part(stored: NDArray[Any]) -> NDArray[Any]:
    """A wave without the silence that it was laid into."""
    places = np.flatnonzero(stored)
    return stored[places[0] : places[-1] + 1] if len(places) else stored


def _wav_file(heard: NDArray[Any], rate: int) -> bytes:
    """The start of a wave as a WAV file of a low rate."""
    part = heard[: round(PLAYED_SECONDS * rate)]
    if rate > PLAYED:
        low = resampled(part.astype(np.float32) / np.float32(_FULL), rate, PLAYED)
        part, rate = stored(low), PLAYED
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(part.astype("<i2").tobytes())
    return held.getvalue()
