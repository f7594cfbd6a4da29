"""The page of data: what it shows equals the JSON, whatever the names are and whatever is learned from it."""

import re

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data.samples import peek, pixels, places, samples
from striate.workbench.data_page import Pictures, page

HOSTILE = ["<b>x</b>".replace("/", "_"), "猫猫", "a\u202eb", "w" * 120]


def write(path, seed, size=(12, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four classes of awkward names, a broken file, a duplicate within a class and one between two."""
    root = tmp_path_factory.mktemp("pictures")
    for k, name in enumerate(HOSTILE):
        for i in range(8):
            write(root / name / f"{i}.png", 100 * k + i)
    (root / HOSTILE[1] / "broken.png").write_bytes(b"no picture")
    (root / HOSTILE[0] / "copy.png").write_bytes((root / HOSTILE[0] / "1.png").read_bytes())
    (root / HOSTILE[2] / "other.png").write_bytes((root / HOSTILE[0] / "2.png").read_bytes())
    return root


def words(markup):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", markup.partition("</style>")[2])).replace(
        "\xa0", " "
    )


def test_the_page_says_what_the_json_says(folder):
    data = striate.open(folder, broken="skip")
    found, markup = data.as_dict(), page(data)
    said = words(markup)
    assert f"{found['items']:,} pictures in 4 classes" in said
    assert "unreadable 1" in said
    assert f"exact duplicates {len(found['duplicates'])}" in said
    for counts in found["counts"].values():
        assert re.search(r" ".join(str(counts[s]) for s in found["splits"]), said)
    assert "1 cannot be read and are skipped" in said
    assert found["fingerprint"] in said
    assert "different labels: 1 pair" in said
    shown = sum(map(len, samples(data, each=7).values()))  # and the two of each pair
    assert shown >= 24
    pairs = (
        len(found["duplicates"])
        + len(found["contradictions"])
        + len(found["near_duplicates"] or [])
    )
    assert markup.count("<img") == shown + 2 * pairs


def test_no_name_is_markup_and_no_name_turns_the_text(folder):
    markup = page(striate.open(folder, broken="skip"))
    assert "<b>x" not in markup
    assert "\u202e" not in markup
    assert "<script" not in markup
    assert markup.count("<h1") == 1
    for mark in ("<header>", "<main>", "<footer>", 'lang="en"', "Content-Security-Policy"):
        assert mark in markup


def test_samples_are_spread_evenly_and_leave_broken_ones_out(folder):
    data = striate.open(folder, broken="skip")
    data.scan()
    picked = samples(data, each=3)
    assert list(picked) == list(data.classes)
    for k, found in enumerate(picked.values()):
        assert 1 <= len(found) <= 3
        assert all(data.splits[p.split].labels[p.number] == k for p in found)
        assert not any("broken" in data.splits[p.split].names[p.number] for p in found)
    assert len(samples(data, classes=2)) == 2
    one = next(iter(picked.values()))[0]
    name = data.splits[one.split].names[one.number]
    assert places(data, [name, "none"]) == {name: one}
    small, whole = pixels(data, one, 6), peek(data, one)
    assert small is not None
    assert whole is not None
    assert (small.shape, whole.shape) == ((6, 4, 3), (12, 9, 3))


def masks(root):
    for i in range(8):
        write(root / "images" / f"{i}.png", i)
        path = root / "masks" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        mask = np.zeros((12, 9), np.uint8)
        mask[:6] = 255
        Image.fromarray(mask).save(path)


def numbers(root):
    for i in range(8):
        write(root / f"{i}.png", i)
    rows = "".join(f"{i}.png,{i}.5\n" for i in range(8))
    (root / "labels.csv").write_text(f"path,weight\n{rows}")


def series(root):
    values = np.random.default_rng(0).random((12, 2, 30)).astype(np.float32)
    np.savez(root / "series.npz", x=values, y=np.arange(12) % 2)


def one_class(root):
    for i in range(8):
        write(root / "only" / f"{i}.png", i)
    for i in range(8):
        write(root / "other" / f"{i}.png", 50 + i)


@pytest.mark.parametrize(
    ("make", "told", "pictures"),
    [(masks, "with", 6), (numbers, "weight", 6), (one_class, "in 2 classes", 12)],
)
def test_other_kinds_of_data(make, told, pictures, tmp_path):
    make(tmp_path)
    data = striate.open(tmp_path)
    markup = page(data)
    assert told in words(markup) or "classes" in words(markup)
    assert markup.count("<img") >= pictures


def test_masks_are_drawn_over_their_pictures(tmp_path):
    masks(tmp_path)
    data = striate.open(tmp_path)
    (place,) = samples(data, each=1)[""][:1]
    tile, bare = Pictures(data).tile(place), np.asarray(pixels(data, place))
    assert tile is not None
    drawn = np.asarray(tile.picture)
    assert drawn.shape == bare.shape
    assert np.abs(drawn.astype(int) - bare)[:6].max() > 20  # where there is a mask


def test_series_are_drawn(tmp_path):
    series(tmp_path)
    markup = page(striate.open(tmp_path / "series.npz"))
    assert "<svg" in markup
    assert "in 2 classes" in words(markup)


def test_the_command(folder, tmp_path, capsys):
    from striate.cli import main

    out = tmp_path / "data.html"
    assert main(["data", str(folder), "--html", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"open {out.as_uri()}"
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["data", str(folder), "--html", str(tmp_path / "x.pdf")]) == 2
    assert "end it in .html" in capsys.readouterr().err
    assert main(["data", str(folder), "--html", str(tmp_path / "no" / "x.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert main(["data", str(folder), "--html", str(out), "--shards", str(tmp_path / "s")]) == 2
    assert "ask for one of them" in capsys.readouterr().err
