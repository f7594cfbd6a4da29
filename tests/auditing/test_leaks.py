"""Leaks, contradictions and baselines: planted ones are found with their files, clean data stay silent."""

import shutil

import numpy as np
import pytest
from PIL import Image

import striate
from striate.auditing.checks.baselines import histograms, thumbnails

from .conftest import draw, write


def pictures(root, split, label):
    return sorted((root / split / label).glob("*.png"))


def same(root):
    shutil.copy(pictures(root, "train", "bar")[0], pictures(root, "test", "bar")[0])


def similar(root):
    """A picture with much in it, and the same brighter and saved as a JPEG."""
    y, x = np.mgrid[:64, :64]
    waves = 90 + 40 * np.sin(x / 4 + y / 9) + 30 * np.cos(y / 3 - x / 11) + (x > 40) * 30
    write(root / "train" / "noise" / "waves.png", waves.astype(np.uint8))
    brighter = Image.fromarray((waves + 20).astype(np.uint8))
    brighter.save(root / "test" / "noise" / "other.jpg", quality=80)


@pytest.mark.parametrize(("plant", "way"), [(same, "same"), (similar, "similar")])
def test_planted_leaks_are_found(own, leaking, plant, way):
    plant(leaking)
    found = striate.audit(own, leaking, only=["leaks"])
    rows = [row for each in found.failed for row in each.evidence]
    assert way in {row["way"] for row in rows}
    assert all(
        row["split"] == "test" and "train/" in row["other"] for row in rows if row["way"] == way
    )
    assert all(each.advice for each in found.failed)


def test_the_score_without_leaks_stands_beside_the_headline(own, leaking):
    same(leaking)
    found = striate.audit(own, leaking, only=["leaks"]).findings
    assert any(
        "without the 1 item that was" in f.text or "without the 1 item" in f.text for f in found
    )


def test_what_the_run_learned_from_is_known_wherever_it_lies(own, clean, tmp_path):
    for label in ("bar", "box", "noise"):
        shutil.copytree(clean / "train" / label, tmp_path / "elsewhere" / label)
    found = striate.audit(own, tmp_path / "elsewhere", only=["leaks"])
    (learned,) = [f for f in found.failed if f.evidence[0]["way"] == "learned"]
    assert learned.value.value == 1
    assert "120 items of 120" in learned.text


def test_frames_of_a_film_are_a_note(own, tmp_path):
    rng = np.random.default_rng(1)
    for split, step in (("train", 0), ("test", 1)):
        for label in ("bar", "box", "noise"):
            for i in range(12):
                name = f"{label}_film_{2 * i + step:04d}.png"
                write(tmp_path / "films" / split / label / name, draw(rng, label))
    found = striate.audit(own, tmp_path / "films", only=["leaks"])
    ways = {row["way"] for each in found.findings for row in each.evidence}
    assert ways == {"frames"}
    assert not found.failed, "names alone are no proof"


def test_clean_data_are_silent(own, clean):
    found = striate.audit(own, clean, only=["leaks", "contradictions"])
    assert [f.severity for f in found.findings] == ["pass", "pass"]


def test_what_was_not_looked_at_is_not_called_clean(own, clean, monkeypatch):
    """Of too many pictures near duplicates are not looked for; a run of old knows not what it learned from."""
    monkeypatch.setattr("striate.data.duplicates.MOST", 10)
    found = striate.audit(own, clean, only=["leaks", "contradictions"]).findings
    said = {each.check: each.text for each in found}
    reason = "180 pictures are more than the 10 that are compared"
    assert f"similar ({reason})" in said["leaks"].partition("not looked at: ")[2]
    assert "similar" not in said["leaks"].partition("not looked at: ")[0]
    assert "groups (the data name none)" in said["leaks"]
    assert said["contradictions"].startswith("no two items that are the same have different labels")
    assert said["contradictions"].endswith(reason)


def test_found_leaks_do_not_hide_what_was_not_looked_at(own, leaking, monkeypatch):
    monkeypatch.setattr("striate.data.duplicates.MOST", 10)
    same(leaking)
    found = striate.audit(own, leaking, only=["leaks"]).findings
    (missing,) = [each for each in found if each.severity == "skipped"]
    assert "similar (" in missing.text


def test_a_run_that_wrote_nothing_down_has_nothing_to_look_at(own, clean, monkeypatch):
    monkeypatch.delitem(own.config.data, "trained")
    (found,) = striate.audit(own, clean / "test", only=["leaks"]).findings
    assert found.severity == "skipped"
    assert "learned (the run did not write down what it learned from)" in found.text


def test_contradictions(own, leaking):
    source, target = pictures(leaking, "train", "bar")[0], pictures(leaking, "train", "box")[0]
    shutil.copy(source, target)
    (found,) = striate.audit(own, leaking, only=["contradictions"]).failed
    assert {found.evidence[0]["file"], found.evidence[0]["other"]} == {
        str(path.relative_to(leaking)) for path in (source, target)
    }


def test_baselines_tell_an_untrained_net(clean, tmp_path):
    run = striate.train(clean, net="lenet5", epochs=1, lr=1e-9, out=tmp_path, plan="default")
    found = {f.evidence[0]["baseline"]: f for f in striate.audit(run, only=["baselines"]).findings}
    assert found["random"].severity == "note"
    assert found["random"].value.value > 0.6
    assert "points" in found["majority"].text
    assert found["majority"].value.value == pytest.approx(1 / 3, abs=0.01)


def test_histograms_and_thumbnails_are_plain_numbers():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (3, 16, 16, 1), np.uint8)
    levels = np.histogram(grey[1], 16, (0, 256))[0] / 256
    assert np.allclose(histograms(grey)[1], levels)
    assert np.allclose(histograms(rng.integers(0, 256, (3, 9, 9, 3), np.uint8)).sum(1), 1)
    wanted = grey[2, :, :, 0].reshape(8, 2, 8, 2).mean((1, 3)).ravel()
    assert np.allclose(thumbnails(grey)[2], wanted, atol=1e-4)
