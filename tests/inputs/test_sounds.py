"""Sounds on their way to a net: spectra, random versions, settings, and a training from data to windows of a recording."""

import base64
import json
import math
import re
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import augment, data, inputs
from striate.errors import CheckpointError, DataError, RecipeError
from striate.inputs import Sounds, Views
from striate.inputs.spectra import QUIET, RANGE, Spectra, bands
from striate.runs import Run
from striate.training import read_recipe
from striate.training.defaults import with_defaults

RATE = 4000
MEL = Spectra(RATE, 20, (100,), 40)


def tone(pitch: float, samples: int = RATE, loud: float = 0.5, start: float = 0.0) -> torch.Tensor:
    return loud * torch.sin(2 * math.pi * pitch * torch.arange(samples) / RATE + start)


def write(path: Path, heard: torch.Tensor, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes((heard * 32767).round().to(torch.int16).numpy().tobytes())
    return path


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty low and forty high tones of about a third of a second."""
    root = tmp_path_factory.mktemp("sounds") / "tones"
    draw = torch.Generator().manual_seed(0)
    for label, pitch in (("high", 900.0), ("low", 300.0)):
        for i in range(40):
            shift, length = torch.rand(2, generator=draw).tolist()
            samples = int(RATE * (0.25 + 0.1 * length))
            noise = 0.02 * torch.randn(samples, generator=draw)
            write(
                root / label / f"{i}.wav",
                tone(pitch * (0.9 + 0.2 * shift), samples, 0.3, 6 * shift) + noise,
            )
    return root


# --------------------------------------------------------------------------------------- spectra


def np_spectrum(wave: np.ndarray, mel: Spectra) -> np.ndarray:
    """The same in loops: a frame, a sum over samples for each frequency, a triangle a band."""
    (window,), points = mel.windows, mel.transform
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    shape = np.pad(
        shape / shape.sum(), ((points - window) // 2, points - window - (points - window) // 2)
    )
    wide = np.pad(wave, points // 2)
    top = 2595 * np.log10(1 + mel.rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, mel.mels + 2) / 2595) - 1)
    rows = []
    for n in range(1 + len(wave) // mel.hop):
        frame = wide[n * mel.hop : n * mel.hop + points] * shape
        power = np.abs(np.fft.rfft(frame)) ** 2
        row = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k, p in enumerate(power):
                f = k * mel.rate / points
                total += p * max(0.0, min((f - low) / (middle - low), (high - f) / (high - middle)))
            row.append(total)
        rows.append(row)
    x = np.log10(np.maximum(np.array(rows).T, 10.0 ** (QUIET - RANGE)))
    return np.maximum(x - max(x.max(), QUIET), -RANGE)


def test_a_spectrum_is_that_of_the_slow_account():
    heard = tone(440, 1000) + 0.1 * torch.randn(1000, generator=torch.Generator().manual_seed(1))
    ours = MEL(heard[None])[0, 0].numpy()
    assert ours.shape == (20, MEL.frames(1000))
    np.testing.assert_allclose(ours, np_spectrum(heard.double().numpy(), MEL), atol=2e-3)


def test_every_band_holds_a_frequency():
    for rate, mels in ((8000, 40), (8000, 64), (22050, 128), (RATE, 40)):
        spectra = Spectra(rate, mels, (rate // 100,), rate // 100)
        assert (bands(rate, mels, spectra.transform).sum(1) > 0).all()


def test_a_tone_is_loudest_in_its_band():
    weights = bands(RATE, 20, MEL.transform)
    for pitch in (200, 500, 1300):
        x = MEL(tone(pitch)[None])[0, 0]
        k = round(pitch * MEL.transform / RATE)
        assert int(x.mean(1).argmax()) == int(weights[:, k].argmax())
        assert x.max() == 0


@pytest.mark.parametrize("loud", [0.5, 0.01])
def test_loudness_says_nothing(loud):
    torch.testing.assert_close(
        MEL(tone(500, loud=loud)[None]), MEL(tone(500)[None]), atol=0.1, rtol=0
    )


def test_silence_is_the_least_everywhere_and_no_nan():
    x = MEL(torch.zeros(2, 1000))
    assert (x == -RANGE).all()


def test_several_windows_are_several_channels_of_the_same_frames():
    three = Spectra(RATE, 20, (50, 100, 200), 40)(tone(500)[None])
    assert three.shape == (1, 3, 20, 101)
    assert (three[:, 0] - three[:, 2]).abs().max() > 0.5


# ------------------------------------------------------------------------------ random versions


def pre(**changes: Any) -> Sounds:
    values: dict[str, Any] = {
        "rate": RATE, "samples": 800, "stored": 1000, "representation": "mel", "mels": 10, "windows": (100,), "hop": 40,
        **changes,
    }  # fmt: skip
    wave = values["representation"] == "wave"
    count = 1 if wave else values["mels"] * len(values["windows"])
    values |= {"mean": (-3.0,) * count, "std": (2.0,) * count}
    return Sounds(**values)


def views(policy: str, n: int = 4, **changes) -> Views:
    given: dict[str, Any] = {"kind": "label", "index": torch.arange(n), "policy": augment.read(policy), "seed": 5, "generator": torch.Generator}  # fmt: skip
    return Views(**{**given, **changes})


STORED = (tone(400, 1000) * 32767).round().to(torch.int16).repeat(4, 1)


@pytest.mark.parametrize(
    ("representation", "shape"),
    [("mel", (4, 1, 10, 21)), ("frames", (4, 10, 21)), ("wave", (4, 1, 800))],
)
def test_the_shape_that_is_promised_is_given(representation, shape):
    made = pre(representation=representation)
    x, _ = made.batch(STORED, torch.zeros(4), views("none"))
    assert tuple(x.shape) == shape
    assert tuple(x.shape[1:]) == made.shape
    assert torch.equal(x, made.normalise(made.centre(STORED)))


@pytest.mark.parametrize("step", ["crop", "delay", "speed", "snr", "mask"])
def test_each_step_changes_something_and_each_item_otherwise(step):
    x, _ = pre().batch(STORED, torch.zeros(4), views(step))
    plain, _ = pre().batch(STORED, torch.zeros(4), views(step, plain=True))
    assert not torch.equal(x, plain)
    assert not torch.equal(x[0], x[1])
    again, _ = pre().batch(STORED[2:3], torch.zeros(1), views(step, index=torch.tensor([2])))
    torch.testing.assert_close(again[0], x[2], atol=1e-4, rtol=1e-4)  # whatever batch it is in


def test_a_mask_hides_the_same_of_all_spectra():
    made = pre(representation="frames", windows=(50, 100))
    x, _ = made.batch(STORED, torch.zeros(4), views("mask:0.5"))
    plain, _ = made.batch(STORED, torch.zeros(4), views("none"))
    hidden = (x != plain).unflatten(1, (2, 10))
    assert hidden.any()
    assert torch.equal(hidden[:, 0], hidden[:, 1])


def test_a_window_lies_in_what_sounds():
    short = torch.zeros(6, 1000, dtype=torch.int16)
    short[:, 450:470] = 1000  # laid into silence: a window anywhere would mostly miss it
    made = pre(samples=100, windows=(50,))
    waves, _ = made.view(short, torch.zeros(6), views("crop", n=6))
    assert ((waves != 0).sum(1) == 20).all()
    long = torch.arange(1, 1001, dtype=torch.int16).repeat(6, 1)
    parts, _ = made.view(long, torch.zeros(6), views("crop", n=6))
    assert len({float(part[0]) for part in parts}) > 1
    assert (parts[:, 0] > 0).all()


def settled(tones: Path, own: bool = False, **settings):
    opened = data.open(tones)
    recipe = with_defaults(read_recipe("quick", settings), opened, own_net=own)
    inputs.of("sound").refuse(recipe)
    return opened, recipe


def test_what_suits_the_sounds_follows_from_them(tones, tmp_path):
    _, recipe = settled(tones)
    assert (recipe.net, recipe.rate, recipe.representation, recipe.mels) == (
        "resnet20_cifar",
        RATE,
        "mel",
        40,
    )
    assert recipe.seconds == pytest.approx(0.4)
    assert (recipe.win_ms, recipe.hop_ms, recipe.size, recipe.color) == ((25.0,), 10.0, None, None)
    assert "crop" not in recipe.augment
    write(tones.parent / "long" / "a" / "1.wav", tone(300, 12 * RATE), 44100)
    _, over_time = settled(tones, net="tdnn")
    assert over_time.representation == "frames"
    for i in range(5):
        for label in "ab":
            write(tmp_path / "long" / label / f"{i}.wav", tone(300 + i, 30 * RATE), 44100)
    _, long = settled(tmp_path / "long", seconds=0.5)
    assert (long.rate, "crop" in long.augment) == (22050, True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"augment": "flip"},
            "augment=flip: flip is no view of sounds; they have crop, delay, speed, snr, mask",
        ),
        ({"augment": "shift"}, "augment=shift: shift is no view of sounds"),
        ({"augment": "mask", "representation": "wave"}, "mask needs spectra"),
        ({"augment": "cutmix", "representation": "frames"}, "cutmix needs representation=mel"),
        ({"win_ms": "900"}, "win_ms=900 and hop_ms=10.0 do not fit sounds of 0.4 s at 4,000 Hz"),
        ({"hop_ms": 0.01}, "hop_ms=0.01 do not fit"),
    ],
)
def test_settings_that_cannot_be_are_refused(tones, settings, words):
    with pytest.raises(RecipeError) as caught:
        settled(tones, **settings)
    assert words in str(caught.value)


def test_views_of_sounds_are_none_of_pictures(shapes):
    recipe = with_defaults(read_recipe("quick", {"augment": "speed"}), data.open(shapes))
    with pytest.raises(RecipeError, match="speed is no view of pictures"):
        inputs.of("picture").refuse(recipe)
    with pytest.raises(RecipeError, match="flip is no view of arrays"):
        inputs.of("array").refuse(recipe.model_copy(update={"augment": "flip"}))


@pytest.mark.parametrize(
    ("modality", "settings", "words"),
    [
        (
            "sound",
            {"size": 28},
            "size=(28, 28) is a setting of pictures, these data are sounds: leave it out",
        ),
        ("sound", {"color": "grey"}, "color=grey is a setting of pictures"),
        ("picture", {"seconds": 1}, "seconds=1.0 is a setting of sounds, these data are pictures"),
        ("picture", {"win_ms": "25"}, "win_ms=(25.0,) is a setting of sounds"),
        ("array", {"mels": 40}, "mels=40 is a setting of sounds, these data are arrays"),
    ],
)
def test_settings_of_other_inputs_are_refused_not_ignored(modality, settings, words):
    with pytest.raises(RecipeError) as caught:
        inputs.refuse_settings(modality, read_recipe("quick", settings))
    assert words in str(caught.value)


def test_every_setting_of_an_input_is_one_of_a_recipe():
    for row in inputs.INPUTS.values():
        assert set(row.settings) <= set(read_recipe("quick", {}).model_fields_set) | set(
            type(read_recipe("quick", {})).model_fields
        )


def test_what_is_guessed_is_said(tones, tmp_path):
    opened, recipe = settled(tones, seconds=0.3, rate=2000)
    said = inputs.of("sound").remarks(opened, recipe)
    assert said[0] == "sounds of 0.3 s at 2,000 Hz, 40 mel bands, windows of 25 ms every 10 ms"
    assert "are longer than 0.3 s: evaluation hears the middle of each" in said[1]
    assert said[2] == "80 of 80 sounds are resampled to 2,000 Hz"
    for i in range(3):
        for label in "ab":
            write(tmp_path / "d" / label / f"{i}.wav", tone(300 + i) * (label == "a"))
    quiet = data.open(tmp_path / "d", val=0)
    assert quiet.remarks == ("3 sounds are silent: b/0.wav, b/1.wav, b/2.wav",)
    assert quiet.as_dict()["warnings"][0] == quiet.remarks[0]


# ---------------------------------------------------------------------------------------- kept


def test_it_is_read_back_as_it_was():
    made = pre(windows=(50, 100))
    content = json.loads(json.dumps(made.as_dict()))
    assert content["inputs"] == "sound"
    assert inputs.from_dict(content) == made


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0}, {"rate": "8000"}, {"samples": 8.5}, {"stored": 10}, {"representation": "mfcc"}, {"windows": []},
        {"mean": [1.0]}, {"std": [0.0] * 10}, {"mean": None}, {"inputs": "smell"}, {"hop": -1}, {"mels": 11},
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(change):
    with pytest.raises(CheckpointError):
        inputs.from_dict({**json.loads(json.dumps(pre().as_dict())), **change})
    content = pre().as_dict()
    del content["rate"]
    with pytest.raises(CheckpointError, match="'rate'"):
        inputs.from_dict(content)


# ---------------------------------------------------------------------------------- answered


def test_a_long_recording_is_read_in_windows(tmp_path):
    made = pre(stored=800)
    short = made.read(write(tmp_path / "a.wav", tone(300, 500)), max_pixels=0)
    assert (short.stored.shape, short.windows) == ((800,), ())
    little_more = made.read(write(tmp_path / "b.wav", tone(300, 1100)), max_pixels=0)
    assert little_more.windows == ()
    long = made.read(write(tmp_path / "c.wav", tone(300, 2000)), max_pixels=0)
    assert long.stored.shape == (3, 800)
    assert long.windows == ((0.0, 0.2), (0.2, 0.4), (0.3, 0.5))
    half = made.read(write(tmp_path / "d.wav", tone(300, 1000), RATE * 2), max_pixels=0)
    assert np.flatnonzero(half.stored).max() < 660  # half as long at half the rate
    assert "silent" in made.read(write(tmp_path / "e.wav", torch.zeros(500)), max_pixels=0).note
    with pytest.raises(DataError, match="it is no sound"):
        made.read(write(tmp_path / "f.wav", tone(3)).with_suffix(".txt"), max_pixels=0) if (
            (tmp_path / "f.txt").write_text("words")
        ) else None


def test_a_drawing_is_a_spectrum_and_a_sound_to_play():
    drawn = pre().drawn(STORED[0].numpy())
    assert drawn is not None
    assert drawn.picture.shape == (20, 52, 1)
    assert drawn.picture.max() == 255
    assert drawn.sound[:4] == b"RIFF"


SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "plan": "default",
    "health": 0,
    "batch": 8,
    "mels": 16,
    "seed": 1,
}


def changed(**more: Any) -> dict[str, Any]:
    return {**SETTINGS, **more}


class Own(nn.Module):
    """Of waves: a convolution, the loudest place, a class each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 31, stride=2)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().amax(2))


@pytest.mark.slow
def test_from_a_folder_to_windows_of_a_recording(tones, tmp_path):
    run = striate.train(
        tones, "resnet20_cifar", out=tmp_path, name="run", width=0.25, **changed(epochs=20)
    )
    assert run.summary["scores"]["accuracy"]["value"] > 0.9
    config = json.loads((run.path / "config.json").read_text())["preprocessing"]
    assert (config["inputs"], config["rate"], config["representation"]) == ("sound", RATE, "mel")
    again = Run.load(run.path)
    assert again.evaluate().scores["accuracy"].value == run.summary["scores"]["accuracy"]["value"]
    both = torch.cat([tone(300, RATE), tone(900, RATE)]) * 0.6
    both += 0.02 * torch.randn(len(both), generator=torch.Generator().manual_seed(3))
    write(tmp_path / "long.wav", both)
    (tmp_path / "no.wav").write_text("no wav")
    found = {p.file.rpartition("/")[2]: p for p in again.predict([tmp_path / "long.wav", tmp_path / "no.wav", tones / "low" / "0.wav"], out=tmp_path / "p", format="csv")}  # fmt: skip
    rows = found["long.wav"].as_dict()["windows"]
    assert [set(row) for row in rows] == [{"start", "end", "label", "confidence"}] * 5
    assert (rows[0]["start"], rows[-1]["end"]) == (0, 2.0)
    assert (rows[0]["label"], rows[-1]["label"]) == ("low", "high")
    assert "0 to 0.4 s low" in found["long.wav"].as_text()
    assert found["no.wav"].error == "it is no sound, whatever its name says"
    assert found["0.wav"].as_dict()["label"] == "low"
    again_found = again.predict([tmp_path / "long.wav"], out=tmp_path / "p")
    assert again_found[0].as_dict() == found["long.wav"].as_dict()
    assert again_found[0].as_text() == found["long.wav"].as_text()
    written = (tmp_path / "p" / "predictions.csv").read_text().splitlines()
    assert written[0] == "file,start,end,label,confidence"
    assert len(written) == 1 + 5 + 1
    page = (run.path / "report.html").read_text()
    assert "sounds" in page


@pytest.mark.slow
def test_the_worst_are_to_be_heard_and_an_own_net_takes_waves(tones, tmp_path):
    settings = changed(epochs=1, lr=1e-6, representation="wave", augment="delay+mixup")
    run = striate.train(tones, Own(), out=tmp_path, **settings)
    assert run.config.preprocessing.shape == (1, round(0.4 * RATE))
    page = (run.path / "report.html").read_text()
    sounds = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', page)
    assert sounds
    assert base64.b64decode(sounds[0])[:4] == b"RIFF"
    assert "media-src data:" in page


@pytest.mark.slow
def test_a_net_over_time_and_weights_of_another_run(tones, tmp_path):
    first = striate.train(tones, "tdnn", out=tmp_path, name="first", width=4, **SETTINGS)
    assert first.config.preprocessing.shape[0] == 16
    second = striate.train(tones, "tdnn", out=tmp_path, name="second", weights=str(first.path), **changed(epochs=1, augment="none"))  # fmt: skip
    assert second.config.preprocessing == first.config.preprocessing


@pytest.mark.slow
def test_sounds_and_pictures_are_not_taken_for_each_other(tones, shapes, tmp_path):
    run = striate.train(tones, "tdnn", out=tmp_path, **changed(epochs=1))
    with pytest.raises(DataError, match=r"holds pictures, .* was trained on sounds"):
        run.evaluate(shapes)
    (found,) = run.predict(next(shapes.glob("*/*.png")))
    assert "sound" in str(found.error)


@pytest.mark.slow
def test_a_stream_learns_the_same_as_the_cache(tones, tmp_path, monkeypatch, capsys):
    settings = changed(epochs=1, width=4)
    first = striate.train(tones, "tdnn", out=tmp_path, name="cached", **settings)
    monkeypatch.setenv("STRIATE_CACHE_GB", "0.0001")
    again = striate.train(tones, "tdnn", out=tmp_path, name="streamed", **settings)
    assert "train is decoded as it is used: its 64 sounds would need" in capsys.readouterr().err
    one, other = first.net.state_dict(), again.net.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
