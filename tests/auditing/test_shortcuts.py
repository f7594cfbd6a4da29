"""Planted shortcuts are found with their place; data without one stay silent, and chance brings few alarms."""

import io
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.auditing import Case
from striate.auditing.checks import shortcuts
from striate.auditing.cues import BORDER
from striate.auditing.probes import PERMUTATIONS, holm, probe
from striate.auditing.rests import saliency_maps, shares_inside
from striate.metrics import Interval

COUNT = 45  # items a class


def texture(rng: np.random.Generator, label: int) -> np.ndarray:
    """Blobs of colour, of which those of one class are a little larger: 64x64x3."""
    size = 5 + 4 * label
    coarse = rng.integers(40, 215, (64 // size + 1, 64 // size + 1, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)
    return np.asarray(image).copy()


def build(root, plant, *, ending="png", seed=0):
    """Two classes of pictures, with something planted in those of class 1."""
    rng = np.random.default_rng(seed)
    for i in range(2 * COUNT):
        label = i % 2
        pixels = texture(rng, label)
        folder = root / ("wolf", "husky")[label]
        folder.mkdir(parents=True, exist_ok=True)
        save = plant(pixels, label, rng) or {}
        pixels = save.pop("pixels", pixels)
        after = save.pop("after", b"")
        held = io.BytesIO()
        kind = {"png": "PNG", "jpg": "JPEG"}[ending]
        Image.fromarray(pixels).save(
            held, kind, **({"quality": 90} | save if kind == "JPEG" else save)
        )
        (folder / f"{rng.integers(10**9):09d}.{ending}").write_bytes(held.getvalue() + after)
    return root


def clean(_pixels, _label, _rng) -> dict[str, Any]:
    return {}


def corner_alone(pixels, label, rng):
    """A dark or a light corner is all that tells the classes apart."""
    pixels[:] = texture(rng, 0)
    pixels[:12, 52:] = 255 * label


def cross(pixels, label, _rng):
    if label:
        pixels[3:7, 56:61] = 0
        pixels[1:9, 58] = 0


def tint(pixels, label, _rng):
    if label:
        pixels[..., 0] = np.clip(pixels[..., 0].astype(int) + 90, 0, 255)


def watermark(pixels, label, _rng):
    if label:
        pixels[57:62, 2:24:2] = 255


def quality(_pixels, label, rng):
    return {"quality": int(rng.integers(60, 75) if label else rng.integers(85, 95))}


def dust(pixels, label, _rng):
    if label:
        pixels[28:31, 60:63] = 10


def tail(_pixels, label, rng):
    return {"after": rng.bytes(3000 + int(rng.integers(1000))) if label else b""}


def shape(pixels, label, _rng):
    return {"pixels": pixels[: 64 - 8 * label]}


PLANTED = [
    (cross, "png", "border cell", "columns 87.5 % to 100.0 %"),
    (tint, "png", "border cell", ""),
    (watermark, "png", "border cell", "rows 87.5 % to 100.0 %"),
    (quality, "jpg", "coding", ""),
    (dust, "png", "border cell", "columns 87.5 % to 100.0 %"),
    (tail, "png", "excess", ""),
    (shape, "png", "size", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "ending", "name", "where"), PLANTED, ids=lambda v: getattr(v, "__name__", None)
)
def test_planted_shortcuts_are_found_with_their_place(tmp_path, plant, ending, name, where):
    data = striate.open(build(tmp_path / "animals", plant, ending=ending))
    found = striate.audit(None, data, only=["shortcuts"])
    alarms = {each.evidence[0]["probe"]: each for each in found.failed}
    assert name in alarms
    assert where in alarms[name].evidence[0]["where"].replace("\N{NO-BREAK SPACE}", " ")
    assert alarms[name].advice
    assert {row["label"] for row in alarms[name].evidence[1:]} == {"wolf", "husky"}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_data_without_one_are_silent(tmp_path, ending):
    data = striate.open(build(tmp_path / "animals", clean, ending=ending))
    assert not striate.audit(None, data, only=["shortcuts"]).failed


def test_handwriting_is_silent():
    found = striate.audit(None, striate.open("digits"), only=["shortcuts"])
    assert not found.failed
    (missing,) = [each for each in found.findings if each.severity == "skipped"]
    assert "width and height, format, JPEG tables and EXIF" in missing.text


@pytest.mark.full
@pytest.mark.slow
def test_chance_brings_few_alarms(tmp_path):
    """Labels drawn at random for the same pictures: at most 4 alarms in 100 draws."""
    opened = striate.open(build(tmp_path / "animals", clean))
    seen = shortcuts._sampled(Case(None, opened, "train"))
    features = [each.features(seen) for each in shortcuts.PROBES if each.gate]
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, len(seen.given))
        found = [probe(sets, labels, rng) for sets in features if any(np.ptp(x) > 0 for x in sets)]
        alarms += min(holm([each.p for each in found])) <= shortcuts.CERTAIN
    assert alarms <= 4


@pytest.mark.slow
def test_a_net_that_uses_the_cue_follows_it(tmp_path):
    folder = build(tmp_path / "animals", corner_alone)
    run = striate.train(
        folder,
        net="lenet5",
        size=32,
        epochs=8,
        batch=16,
        out=tmp_path,
        plan="default",
        augment="none",
    )
    found = striate.audit(run, only=["shortcuts"])
    (alarm,) = [each for each in found.failed if each.evidence[0]["probe"] == "border cell"]
    assert alarm.evidence[0]["follows"] > 0.5
    assert "answers that class in" in alarm.text
    assert alarm.evidence[0]["area"] < 0.2
    assert alarm.evidence[0]["mass"] > 1.3 * alarm.evidence[0]["area"]
    assert "of its saliency lies there" in alarm.text


def test_the_share_of_maps_in_a_region():
    maps = np.zeros((3, 4, 4))
    maps[0, 0, 0], maps[0, 3, 3], maps[1, 2, 2] = 3, 1, 5
    inside = np.zeros((4, 4), np.bool_)
    inside[:2, :2] = True
    assert shares_inside(maps, inside).tolist() == [0.75, 0]  # the third map is empty


def test_saliency_lies_where_a_net_looks(tmp_path):
    """Of a net that reads one corner alone nearly all of it."""

    class Corner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3 * 8 * 8, 2)

        def forward(self, x):
            return self.fc(x[:, :, :8, 24:].flatten(1))

    folder = build(tmp_path / "animals", corner_alone)
    run = striate.train(folder, net=Corner(), size=32, epochs=1, out=tmp_path, plan="default")
    case = Case(run, run.opened(), "val")
    (cell,) = [each for each in shortcuts.PROBES if each.name == "border cell"]
    found = shortcuts._rests(case, cell, [7])
    assert found is not None
    mass, area, _ = found
    assert area == pytest.approx(1 / 64)
    corner = [BORDER.index(i * 8 + j) for i in (0, 1) for j in (6, 7) if i * 8 + j in BORDER]
    wider = shortcuts._rests(case, cell, corner)
    assert wider is not None
    assert mass.value < wider[0].value < 1
    stored = np.array(case.arrays.inputs[np.arange(8)])
    inside = np.zeros((32, 32), np.bool_)
    inside[:8, 24:] = True
    assert shares_inside(saliency_maps(case, stored), inside).min() > 0.99


# ----------------------------------------------------------------------------------------- statistics


def test_a_probe_tells_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    signal = np.eye(3)[labels] + 0.1 * rng.normal(size=(90, 3))
    noise = rng.normal(size=(90, 20))
    assert probe([signal], labels, rng).accuracy.value == 1
    blind = probe([noise], labels, rng)
    assert blind.p > 0.02
    assert blind.chance == pytest.approx(1 / 3, abs=0.05)
    best = probe([noise, signal, noise], labels, rng)
    assert best.place == 1
    assert best.p == pytest.approx(1 / (1 + PERMUTATIONS))


@pytest.mark.slow
def test_p_values_of_nothing_are_uniform():
    """Of 200 probes of noise about one in twenty has a p below 0.05; the uneven classes make no difference."""
    below = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = (np.arange(40) % 4 == 0).astype(np.int64)
        below += probe([rng.normal(size=(40, 6)) for _ in range(3)], labels, rng).p <= 0.05
    assert 2 <= below <= 20


def test_the_null_is_the_best_of_several_too():
    rng = np.random.default_rng(1)
    labels = np.arange(40) % 2
    sets = [rng.normal(size=(40, 5)) for _ in range(20)]
    assert probe(sets, labels, rng).chance > probe(sets[:1], labels, rng).chance + 0.05


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9]) == [0.9]


def test_the_share_of_what_a_reference_tells():
    rng = np.random.default_rng(0)
    found = probe([np.eye(2)[np.arange(40) % 2]], np.arange(40) % 2, rng)
    assert found.share(1.0).value == 1
    assert found.share(found.chance) == Interval(0.0)


@pytest.mark.parametrize("classes", [1, 2])
def test_too_little_is_skipped(tmp_path, classes):
    rng = np.random.default_rng(0)
    for k in range(classes):
        for i in range(5 if classes == 2 else 40):
            path = tmp_path / "d" / f"c{k}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(texture(rng, k)).save(path)
    if classes == 1:
        shutil.copytree(tmp_path / "d" / "c0", tmp_path / "d" / "c1")
        for file in sorted((tmp_path / "d" / "c1").iterdir())[3:]:
            file.unlink()
    (found,) = striate.audit(None, striate.open(tmp_path / "d", val=0), only=["shortcuts"]).findings
    assert found.severity == "skipped"
    assert "fewer than" in found.text
