"""Items with what belongs to them drawn over, at the right place."""

import json
import wave

import numpy as np
import pytest
from PIL import Image

import striate
from striate import cli, see
from striate.errors import ArgumentError, DataError


def test_labels(shapes):
    found = see.batch(striate.open(shapes), items=5)
    assert len(found.names) == 5
    assert all(
        name.startswith(target) for name, target in zip(found.names, found.targets, strict=True)
    )
    again = see.batch(striate.open(shapes), items=5)
    other = see.batch(striate.open(shapes), items=5, seed=1)
    assert found.names == again.names != other.names


def test_boxes_are_drawn_where_they_are(tmp_path):
    from striate.see.pictures.batch import BOX

    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "b.png")
    boxes = [{"image_id": i, "category_id": 1, "bbox": [8, 10, 20, 16], "id": i} for i in (1, 2)]
    files = [
        {"id": i, "file_name": f"{n}.png", "width": 64, "height": 48}
        for i, n in ((1, "a"), (2, "b"))
    ]
    content = {"images": files, "annotations": boxes, "categories": [{"id": 1, "name": "cell"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    data = striate.open(tmp_path, val=0)
    split = next(iter(data.splits))
    found = see.batch(data, split=split, items=1)
    drawn = (found.pixels[0] == np.array(BOX)).all(-1)
    rows, columns = np.nonzero(drawn)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 25, 8, 27)
    assert found.targets == ("1 cell",)


def test_wrong_words(shapes, capsys):
    data = striate.open(shapes)
    with pytest.raises(ArgumentError, match="no split 'test'"):
        see.batch(data, split="test")
    with pytest.raises(ArgumentError, match="items=0"):
        see.batch(data, items=0)
    assert cli.main(["see", "batch", str(shapes), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["what"] == "batch"
    assert cli.main(["see", "batch"]) == 2


def test_what_is_no_picture_is_refused(tmp_path):
    for label in ("high", "low"):
        for i in range(6):
            path = tmp_path / label / f"{i}.wav"
            path.parent.mkdir(exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(np.arange(800 + i, dtype="<i2").tobytes())
    with pytest.raises(DataError, match="pictures alone"):
        see.batch(striate.open(tmp_path))
