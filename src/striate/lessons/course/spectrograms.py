"""Spectrograms: a sound as a picture, and what the length of the window decides."""

import numpy as np
import torch

from striate.inputs.spectra import Spectra
from striate.lessons.exercise import Case, Exercise, Mistake
from striate.lessons.lesson import Lesson
from striate.lessons.shown import Pictures, Shown, Table

RATE = 8000


def tones() -> torch.Tensor:
    """Half a second: a rising tone, and a click in the middle of it [1, 4000]."""
    t = torch.arange(RATE // 2) / RATE
    wave = 0.3 * torch.sin(2 * torch.pi * (300 * t + 2400 * t**2))
    wave[2000:2004] = 1.0
    return wave[None]


def a_sound_as_a_picture() -> Shown:
    spectra = Spectra(rate=RATE, mels=24, windows=(256,), hop=128)
    picture = spectra(tones())[0, 0].flip(0)
    return Shown(
        [Pictures({"frequency (up) by time": picture})],
        {"bands": picture.shape[0], "frames": picture.shape[1]},
    )


def two_windows() -> Shown:
    spectra = Spectra(rate=RATE, mels=24, windows=(64, 1024), hop=200)
    short, long = spectra(tones())[0]
    return Shown([Pictures({"window 64": short.flip(0), "window 1024": long.flip(0)})])


def one_exchange() -> Shown:
    rows = [
        [n, f"{1000 * n / RATE:.0f}", f"{RATE / n:.1f}", Spectra(RATE, 24, (n,), 200).frames(4000)]
        for n in (64, 256, 1024)
    ]
    return Shown([Table(["window", "milliseconds", "Hz apart", "frames"], rows)])


def frames_of(samples: int, hop: int) -> int:
    """As `striate.inputs.spectra` counts them."""
    return Spectra(RATE, 24, (256,), hop).frames(samples)


def cases(rng: np.random.Generator) -> list[Case]:
    rows = [
        (4000, 200),
        (4001, 200),
        (399, 100),
        *rng.integers((500, 50), (9000, 400), (4, 2)).tolist(),
    ]
    return [{"samples": int(samples), "hop": int(hop)} for samples, hop in rows]


LESSON = Lesson(
    "spectrograms",
    (a_sound_as_a_picture, two_windows, one_exchange),
    (
        Exercise(
            "frames",
            ("samples", "hop"),
            frames_of,
            cases,
            (
                Mistake("forgot_one", after=lambda y: y - 1),
                Mistake("rounded_up", instead=lambda c: -(-c["samples"] // c["hop"]) + 1),
                Mistake("not_rounded", instead=lambda c: 1 + c["samples"] / c["hop"]),
            ),
        ),
    ),
)
