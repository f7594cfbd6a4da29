"""What a net is given: pixels, files, items, one value changed; each as prediction and evaluation read it."""

import importlib
import io
import json
import pickle
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
from client import Client
from PIL import Image
from torch import nn

import striate
from striate.errors import ArgumentError, ShapeError, UsageError
from striate.studio.launch import Studio, begun

HOSTILE = "\u202e<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Client, Any]]:
    """A run on digits, and a client."""
    run = striate.train(
        "digits", net="lenet5", epochs=1, out=tmp_path_factory.mktemp("runs"), plan="default"
    )
    with begun([run]) as page:
        yield page, Client(page).enter(), run


def u8(array: np.ndarray) -> tuple[bytes, dict[str, str]]:
    return array.tobytes(), {"X_Kind": "u8", "X_Shape": ",".join(map(str, array.shape))}


def picture(size: tuple[int, int], mode: str, form: str = "PNG") -> bytes:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "mode", "form"),
    [
        ((28, 28), "L", "PNG"),
        ((60, 41), "RGB", "JPEG"),
        ((33, 90), "RGBA", "PNG"),
        ((5, 4), "1", "PNG"),
        ((28, 28), "P", "GIF"),
    ],
)
def test_an_upload_is_read_as_prediction_reads_it(
    digits: tuple[Studio, Client, Any], tmp_path: Path, size: tuple[int, int], mode: str, form: str
):
    _, client, run = digits
    body = picture(size, mode, form)
    answer = client.post(
        f"net/{client.get('session')['open'][0]}/input", body, X_Kind="file", X_Name=quote(HOSTILE)
    )
    file = tmp_path / f"x.{form.lower()}"
    file.write_bytes(body)
    (predicted,) = run.predict([file])
    said = predicted.as_dict()
    assert answer["top"][0]["class"] == said["label"]
    assert answer["top"][0]["p"] == pytest.approx(said["confidence"], abs=1e-4)
    assert answer["answer"] == "classes"
    names = [step["name"] for step in answer["input"]["steps"]]
    assert (names[0], names[-1]) == ("read", "scale")
    for step in answer["input"]["steps"]:
        status, headers, png = client.ask("GET", "/" + step["preview"])
        assert (status, headers["content-type"]) == (200, "image/png")
        assert png.startswith(b"\x89PNG")
    x = client.arrays(f"run/{answer['run_id']}/input")
    assert x["x"].shape == tuple(run.config.preprocessing.shape)
    assert x["picture"].shape[2] == 3


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["u8", "f32"])
def test_pixels_of_the_page_are_a_picture(
    digits: tuple[Studio, Client, Any], channels: int, kind: str
):
    _, client, _ = digits
    net = client.get("session")["open"][0]
    pixels = np.zeros((40, 40, channels), np.uint8)
    pixels[10:30, 18:22] = 255
    if channels == 4:
        pixels[..., 3] = 255
    body = pixels.tobytes() if kind == "u8" else (pixels / 255).astype("<f4").tobytes()
    answer = client.post(f"net/{net}/input", body, X_Kind=kind, X_Shape=f"40,40,{channels}")
    file = io.BytesIO()
    Image.fromarray(np.repeat(pixels[..., :1], 3, 2)).save(file, "PNG")
    again = client.post(f"net/{net}/input", file.getvalue(), X_Kind="file", X_Name="x.png")
    for mine, other in zip(answer["top"], again["top"], strict=True):
        assert mine["logit"] == pytest.approx(other["logit"], abs=1e-4)


def test_an_item_is_what_evaluation_reads(digits: tuple[Studio, Client, Any]):
    _, client, run = digits
    net = client.get("session")["open"][0]
    listed = client.get(f"net/{net}/items?from=3&count=4")
    assert [item["index"] for item in listed["items"]] == [3, 4, 5, 6]
    data = run.open_data()
    arrays = data.arrays("val", form=run.config.preprocessing.form)
    answer = client.post(f"net/{net}/item", {"index": 5})
    pre = run.config.preprocessing
    wanted = pre.normalise(pre.centre(torch.from_numpy(np.array(arrays.inputs[5]))[None]))[0]
    assert np.array_equal(client.arrays(f"run/{answer['run_id']}/input")["x"], wanted.numpy())
    assert (
        answer["truth"] == run.config.classes[int(arrays.targets[5])] == listed["items"][2]["label"]
    )
    assert client.ask("GET", "/" + listed["items"][0]["thumb"])[2].startswith(b"\x89PNG")
    for index, status in (
        (-1, 404),
        (listed["total"], 404),
        ("x", 400),
        (None, 400),
        (1.5, 400),
        (True, 400),
    ):
        assert client.tried(f"net/{net}/item", {"index": index})[0] == status


def test_one_pixel_is_edited(digits: tuple[Studio, Client, Any]):
    _, client, run = digits
    net = client.get("session")["open"][0]
    first = client.post(f"net/{net}/item", {"index": 0})
    edited = client.post(
        f"net/{net}/edit", {"run_id": first["run_id"], "y": 2, "x": 3, "values": [200]}
    )
    before, after = (client.arrays(f"run/{each['run_id']}/input") for each in (first, edited))
    apart = np.argwhere(before["x"] != after["x"])
    assert apart.tolist() == [[0, 2, 3]]
    pre = run.config.preprocessing
    assert after["x"][0, 2, 3] == pytest.approx((200 - pre.mean[0]) / pre.std[0], abs=1e-5)
    assert after["picture"][2, 3].tolist() == [200] * 3
    assert [s["name"] for s in edited["input"]["steps"]] == ["item", "edit", "scale"]
    assert edited["truth"] == first["truth"]
    back = client.post(
        f"net/{net}/edit",
        {"run_id": edited["run_id"], "y": 2, "x": 3, "values": [int(before["picture"][2, 3, 0])]},
    )
    assert back["run_id"] == first["run_id"]  # the same input is the same run


@pytest.mark.parametrize(
    "change",
    [
        {"y": 28}, {"x": -1}, {"y": None}, {"z": 1}, {"values": [1, 2, 3]}, {"values": 3}, {"values": ["1"]},
        {"values": [256]}, {"values": [-1]}, {"values": [True]}, {"run_id": "nope"}, {"run_id": None}, {"y": "2.0"},
    ],
)  # fmt: skip
def test_an_edit_that_does_not_fit_is_refused(
    digits: tuple[Studio, Client, Any], change: dict[str, Any]
):
    _, client, _ = digits
    net = client.get("session")["open"][0]
    run = client.post(f"net/{net}/item", {"index": 0})["run_id"]
    status, said = client.tried(
        f"net/{net}/edit", {"run_id": run, "y": 1, "x": 1, "values": [1]} | change
    )
    assert status in (400, 404), said
    assert said["error"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("x.pt", pickle.dumps([1]), 415),
        ("x.pkl", pickle.dumps([1]), 415),
        ("x.PTH", b"PK\x03\x04", 415),
        ("x.npy", pickle.dumps({"a": 1}), 400),
        ("x.png", pickle.dumps([1]), 400),
        ("x.png", b"", 400),
        ("x.png", b"\x89PNG\r\n\x1a\n cut", 400),
        ("x.svg", b"<svg onload='alert(1)'/>", 400),
        ("../../x.png", b"no picture", 400),
        ("C:\\x.png", b"no picture", 400),
        ("x." + "a" * 300, b"no picture", 400),
        ("x.p\x00ng", b"no picture", 400),
        ("", b"no picture", 400),
    ],
)
def test_what_is_no_picture_is_refused(
    digits: tuple[Studio, Client, Any], name: str, body: bytes, status: int
):
    _, client, _ = digits
    net = client.get("session")["open"][0]
    found, said = client.tried(f"net/{net}/input", body, X_Kind="file", X_Name=quote(name))
    assert found == status, said
    assert "/tmp" not in said["error"]  # noqa: S108
    assert "\n" not in said["error"]


def test_an_object_array_is_never_unpickled(digits: tuple[Studio, Client, Any]):
    class Run:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    file = io.BytesIO()
    np.save(file, np.array([Run()], object), allow_pickle=True)
    _, client, _ = digits
    net = client.get("session")["open"][0]
    status, said = client.tried(f"net/{net}/input", file.getvalue(), X_Kind="file", X_Name="x.npy")
    assert status == 400, said


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    digits: tuple[Studio, Client, Any],
):
    file = io.BytesIO()
    Image.new("1", (8000, 5001)).save(file, "PNG")
    _, client, _ = digits
    net = client.get("session")["open"][0]
    status, said = client.tried(f"net/{net}/input", file.getvalue(), X_Kind="file", X_Name="x.png")
    assert status in (400, 413)
    assert "40,0" in said["error"] or "pixels" in said["error"]


@pytest.mark.parametrize(
    ("kind", "shape", "size"),
    [
        ("u8", "2,2,1", 5), ("u8", "2,2", 4), ("u8", "2,2,2", 8), ("u8", "0,2,1", 0), ("u8", "-1,-1,1", 1), ("u8", "a,b", 4),
        ("u8", "", 0), ("f32", "2,2,1", 4), ("f64", "1,1,1", 8), ("", "1,1,1", 1), ("u8", "1,1,1,1,1", 1),
    ],
)  # fmt: skip
def test_pixels_that_are_none_are_refused(
    digits: tuple[Studio, Client, Any], kind: str, shape: str, size: int
):
    _, client, _ = digits
    net = client.get("session")["open"][0]
    assert client.tried(f"net/{net}/input", bytes(size), X_Kind=kind, X_Shape=shape)[0] == 400


def test_a_deep_link_finds_its_run_or_says_that_it_is_gone(digits: tuple[Studio, Client, Any]):
    _, client, _ = digits
    net = client.get("session")["open"][0]
    answer = client.post(f"net/{net}/item", {"index": 1})
    assert client.get(f"run/{answer['run_id']}")["top"] == answer["top"]
    assert client.ask("GET", "/api/run/0123abcd")[0] == 404


def test_hostile_names_are_text(client: Client):
    net = client.get("session")["open"][0]
    card = client.get(f"net/{net}")
    assert card["classes"][0] == "<img src=x onerror=alert(1)>"
    assert client.get(f"net/{net}/items?count=1")["items"][0]["label"] == card["classes"][0]


def test_tensors_are_read_as_they_are(page: Studio, client: Client):
    net = client.get("session")["open"][0]
    answer = client.post(f"net/{net}/item", {"index": 4})
    opened: Any = page.session.nets[net]
    x = client.arrays(f"run/{answer['run_id']}/input")["x"]
    assert np.array_equal(x, opened.items.stored(4))
    with torch.no_grad():
        logits = opened.net(torch.from_numpy(x)[None])[0]
    assert [c["logit"] for c in answer["top"]] == pytest.approx(
        sorted(logits.tolist(), reverse=True), abs=1e-5
    )
    assert answer["input"]["unit"] == "values"
    edited = client.post(
        f"net/{net}/edit", {"run_id": answer["run_id"], "y": 0, "x": 0, "values": [2.5, -1, 0]}
    )
    after = client.arrays(f"run/{edited['run_id']}/input")["x"]
    assert after[:, 0, 0].tolist() == [2.5, -1, 0]
    assert np.array_equal(after[:, 1:], x[:, 1:])


def test_a_drawing_for_a_net_with_tensors_is_edited_as_a_picture(client: Client):
    net = client.get("session")["open"][0]
    pixels = np.full((16, 16, 3), 51, np.uint8)
    body, said = u8(pixels)
    answer = client.post(f"net/{net}/input", body, **said)
    assert answer["input"]["unit"] == "levels"
    edit = {"run_id": answer["run_id"], "y": 3, "x": 5, "values": [255, 0, 102]}
    edited = client.post(f"net/{net}/edit", edit)
    x = client.arrays(f"run/{edited['run_id']}/input")["x"]
    assert x[:, 3, 5].tolist() == pytest.approx([1, 0, 0.4])
    assert x[:, 0, 0].tolist() == pytest.approx([0.2] * 3)


@pytest.mark.slow
def test_a_sound_is_read_as_its_run_reads_it(tmp_path: Path):
    rng = np.random.default_rng(0)
    for label in ("low", "high"):
        (tmp_path / "sounds" / label).mkdir(parents=True)
        for i in range(8):
            t = np.arange(4000) / 8000
            tone = np.sin(
                2 * np.pi * (200 if label == "low" else 2000) * t
            ) + 0.1 * rng.standard_normal(4000)
            with wave.open(str(tmp_path / "sounds" / label / f"{i}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((tone * 12000).astype("<i2").tobytes())
    run = striate.train(tmp_path / "sounds", epochs=1, out=tmp_path / "runs", plan="default")
    with begun([str(run.path)]) as page:
        client = Client(page).enter()
        net = client.get("session")["open"][0]
        sound = tmp_path / "sounds" / "low" / "0.wav"
        answer = client.post(f"net/{net}/input", sound.read_bytes(), X_Kind="file", X_Name="a.wav")
        assert answer["input"]["kind"] == "audio"
        assert [s["name"] for s in answer["input"]["steps"]][-2:] == ["spectrum", "scale"]
        (said,) = run.predict([sound])
        assert answer["top"][0]["class"] == said.as_dict()["label"]
        assert (
            client.tried(
                f"net/{net}/edit", {"run_id": answer["run_id"], "y": 0, "x": 0, "values": [0]}
            )[0]
            == 400
        )
        long = io.BytesIO()
        with wave.open(long, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(2 * 8000 * 70))
        status, body = client.tried(
            f"net/{net}/input", long.getvalue(), X_Kind="file", X_Name="a.wav"
        )
        assert (status, "60 s" in body["error"]) == (413, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "kind", "answer"),
    [
        ("unet_same", (1, 64, 64), "image", "places"),
        ("tdnn", None, "array", "classes"),
        ("fcn1d", None, "array", "classes"),
        ("voxnet", None, "array", "classes"),
        ("stgcn", None, "array", "none"),
        ("conv_autoencoder", None, "image", "none"),
    ],
)
def test_nets_that_read_and_answer_otherwise_open_too(
    name: str, shape: tuple[int, ...] | None, kind: str, answer: str
):
    with begun([name], shape=shape) as page:
        client = Client(page).enter()
        card = client.get(f"net/{name}")
        assert (card["input"]["kind"], card["example"]["answer"]) == (kind, answer)
        assert bool(card["example"]["top"]) == (answer != "none")
        assert card["layers"]
        run = card["example"]["run_id"]
        for layer in card["layers"]:
            client.arrays(f"run/{run}/maps?layer={quote(layer['id'])}")


def test_what_is_named_is_open_in_the_order_of_the_words():
    with begun(["lenet5", nn.Conv2d(1, 1, 3), "lenet1"], shape=(1, 28, 28)) as page:
        client = Client(page).enter()
        assert client.get("session")["open"] == ["lenet5", "given-2", "lenet1"]
        client.post("open", {"net": "linear"})
        assert client.get("session")["open"][:1] == ["lenet5"]
        rows = client.get("nets")["items"]
        assert [row["id"] for row in rows[:3]] == ["lenet5", "given-2", "lenet1"]


def test_a_net_of_ones_own_needs_to_know_what_it_reads():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(UsageError, match="how large is its input"):
        begun([net])
    with pytest.raises(ShapeError, match="items of 5"):
        begun([net], data=torch.rand(2, 5), shape=(12,))
    with pytest.raises(ArgumentError, match="is no net"):
        begun([3])
    with pytest.raises(ArgumentError, match="labels"):
        begun([net], data=(torch.rand(2, 12), [1]))
    with begun([net], shape=(3, 2, 2)) as page:
        card = Client(page).enter().get("net/given-1")
        assert any("0 to 1" in line for line in card["sentences"])


def test_the_callers_net_is_not_touched():
    net: Any = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with begun([net], shape=(1, 8, 8)):
        with torch.no_grad():
            net[0].weight.zero_()  # and the page keeps what it was
        assert net.training
        assert all(p.requires_grad for p in net.parameters())
        assert net[0].weight.is_contiguous()
    assert torch.equal(before["1.running_mean"], net[1].running_mean)


def test_every_net_of_the_catalogue_is_listed_with_what_it_is(client: Client):
    rows = client.get("nets")["items"]
    assert len({row["id"] for row in rows}) == len(rows)
    assert [row["kind"] for row in rows if row["open"]] == ["given"]
    lenet = next(row for row in rows if row["id"] == "lenet5")
    assert (lenet["input"], "random" in lenet["note"]) == ([1, 28, 28], True)
    assert len(json.dumps(rows)) < 60_000


def test_a_catalogue_net_says_that_it_has_learned_nothing(client: Client):
    card = client.post("open", {"net": "lenet5"})
    assert any("drawn at random" in line for line in card["sentences"])
    assert card["example"]["note"]
    assert client.post("open", {"net": "lenet5"}) == card
    assert client.tried("open", {"net": "../lenet5"})[0] == 404


def test_striate_studio_is_a_package_and_a_function():
    importlib.import_module("striate.studio.server")  # the package takes the place of the name
    with striate.studio(nn.Conv2d(1, 1, 3), shape=(1, 5, 5), browser=False) as page:
        assert page.address().startswith("http://127.0.0.1:")
        assert 'target="_blank"' in page._repr_html_()
        assert page.address() not in repr(page)
