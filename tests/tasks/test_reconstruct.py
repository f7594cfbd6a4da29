"""Pictures that are given back: what is read, what is lost, what is refused."""

import importlib
import json
import re
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

import striate
from striate import data, losses
from striate.errors import (
    ArgumentError,
    CheckpointError,
    DataError,
    RecipeError,
    ShapeError,
    UsageError,
)
from striate.models import catalog
from striate.tasks import feature_net, named
from striate.tasks.feature_net import FeatureNet
from striate.tasks.reconstruct import Copies
from tasks.conftest import CASES, SHORT, write_boxes, write_classes, write_masks, write_pictures

QUICK: dict[str, Any] = {
    **SHORT,
    "task": "reconstruct",
    "width": 0.25,
    "net": "conv_autoencoder",
    "epochs": 1,
}


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Weights of the convolutions of a narrow VGG alone, without its classifier, and the net."""
    net = catalog.build("vgg11", init=False)
    for p in net.get_submodule("features").parameters():
        nn.init.normal_(p, 0, 0.06, torch.Generator().manual_seed(p.numel()))
    path = tmp_path_factory.mktemp("weights") / "features.safetensors"
    tensors = {k: v.half() for k, v in net.state_dict().items() if k.startswith("features")}
    save_file(tensors, path)
    return path, net


@pytest.mark.parametrize("write", [write_classes, write_masks, write_boxes, write_pictures])
def test_labels_are_ignored_whatever_they_are(write, tmp_path):
    opened = data.open(write(tmp_path / "data"), task="reconstruct")
    assert (opened.task, opened.kind, opened.classes, len(opened)) == (
        "reconstruct",
        "picture",
        (),
        24,
    )
    assert ("labels are ignored" in opened.note) == (write is not write_pictures)
    assert "24 pictures" in opened.as_text()


def test_folders_named_for_splits_are_splits(tmp_path):
    write_pictures(tmp_path / "data" / "train")
    write_pictures(tmp_path / "data" / "test")
    opened = data.open(tmp_path / "data", task="reconstruct")
    assert {name: len(split) for name, split in opened.splits.items()} == {"train": 24, "test": 24}


def test_built_in_names_are_given_back_too():
    opened = data.open("digits", task="reconstruct")
    assert (opened.kind, opened.native_size) == ("picture", (8, 8))


def test_what_holds_no_pictures_is_refused(tmp_path):
    folder = CASES["series"].write(tmp_path / "series")
    with pytest.raises(DataError, match="task=reconstruct"):
        data.open(folder, task="reconstruct")


@pytest.mark.parametrize("color", ["grey", "rgb"])
@pytest.mark.parametrize("size", [28, 64])
def test_both_sizes_and_colours_are_learned_and_answered(color, size, tmp_path):
    folder = write_pictures(tmp_path / "data")
    run = striate.train(folder, out=tmp_path, color=color, size=size, **QUICK)
    answers = list(run.predict([folder / "00.png", folder / "03.png"], out=tmp_path / "out"))
    for each in answers:
        with Image.open(each.as_dict()["image"]) as written:
            assert (written.size, written.mode) == ((size, size), "L" if color == "grey" else "RGB")
    found = run.summary["scores"]
    own = {"psnr", "ssim", "l1", "l2", "edge_error", "sharpness"}
    plain = {"psnr_mean_picture", "gain_mean_picture", "psnr_shrunk", "gain_shrunk"}
    assert set(found) == own | plain
    assert all(np.isfinite(score["value"]) for score in found.values())


def test_of_a_picture_of_another_shape_it_is_said_which_part_is_given_back(tmp_path):
    folder = write_pictures(tmp_path / "data")
    run = striate.train(folder, out=tmp_path, size=32, **QUICK)
    said: list[str | None] = []
    for name, size in (("wide", (100, 40)), ("even", (64, 64)), ("high", (30, 31))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
        (one,) = run.predict([tmp_path / f"{name}.png"])
        said.append(one.as_dict().get("note"))
    assert said == [
        "the middle 40 x 40 of 100 x 40 pixels",
        None,
        "the middle 30 x 30 of 30 x 31 pixels",
    ]


def test_answers_that_are_files_and_a_place_that_takes_none(tmp_path):
    folder = write_pictures(tmp_path / "data")
    run = striate.train(folder, out=tmp_path, size=32, **QUICK)
    (tmp_path / "b").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "b" / "00.png")
    twins = [folder / "00.png", tmp_path / "b" / "00.png"]
    written = [run.predict(each)[0].as_dict()["image"] for each in twins]
    assert len(set(written)) == 2, "files of one name in two folders keep their own answers"
    first, second = (np.asarray(Image.open(each)) for each in written)
    assert not np.array_equal(first, second)
    place = run.path / "predictions"
    shutil.rmtree(place)
    place.write_text("no folder")
    (one,) = run.predict(twins[0])
    assert "image" not in one.as_dict()
    assert re.search(r"predictions cannot be written \(File exists\): name .* --out", str(one))
    (tmp_path / "out" / "00_image.png").mkdir(parents=True)  # stands where the answer would
    with pytest.raises(UsageError, match=r"--out .*out: cannot be written \(Is a directory\)"):
        run.predict(twins[0], out=tmp_path / "out")


def test_pictures_of_one_colour_alone_give_numbers(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(16):
        Image.fromarray(np.full((16, 16, 3), 90 + i // 8, np.uint8)).save(folder / f"{i}.png")
    run = striate.train(folder, out=tmp_path, **QUICK)
    found = run.summary["scores"]
    assert found.pop("sharpness")["value"] is None
    assert found["psnr_mean_picture"]["value"] > 40  # levels 90 and 91
    assert all(np.isfinite(score["value"]) for score in found.values())
    assert "NaN" not in (run.path / "summary.json").read_text()


def test_a_net_of_ones_own_and_a_net_with_maps(tmp_path):
    folder = write_pictures(tmp_path / "data")
    settings: dict[str, Any] = {**SHORT, "task": "reconstruct", "epochs": 1, "size": 32}
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3))
    run = striate.train(folder, net, out=tmp_path, name="own", **settings)
    assert run.summary["scores"]["psnr"]["value"] > 0
    unet: dict[str, Any] = {**settings, "net": "unet_same", "width": 0.0625}
    assert striate.train(folder, out=tmp_path, name="unet", **unet).summary["net"] == "unet_same"
    with pytest.raises(
        ShapeError, match=r"expected one tensor \(2, 3, 32, 32\): each picture given back"
    ):
        striate.train(folder, nn.Conv2d(3, 5, 1), out=tmp_path, name="wrong", **settings)


def psnr_of(answer, truth) -> float:
    return -10 * np.log10(np.square(answer.astype(float) - truth).mean())


def test_answers_without_a_net_are_scored_on_the_same_pictures(tmp_path):
    """The mean picture of the training items, and a picture of as few values as the code has, by hand."""
    folder = write_pictures(tmp_path / "data")
    run = striate.train(folder, out=tmp_path, **dict[str, Any](QUICK, size=32, code=4))
    found = run.evaluate()
    opened = data.open(folder, task="reconstruct")
    form = data.Form((32, 32), "rgb", "cover")
    train, held = (
        opened.arrays(split, form=form).inputs[:].astype(float) for split in ("train", "val")
    )
    usual = [psnr_of(np.rint(train.mean(0)) / 255, each / 255) for each in held]
    assert found.scores["psnr_mean_picture"].value == pytest.approx(np.mean(usual))
    small = []
    for (
        each
    ) in held:  # 4 numbers at each of 4 x 4 places: 4 x 5 pixels of 3 channels have 60 of these 64
        x = torch.from_numpy(each / 255).permute(2, 0, 1)[None]
        way: dict[str, Any] = {"mode": "bicubic", "align_corners": False}
        y = nn.functional.interpolate(x, (5, 4), antialias=True, **way)
        y = nn.functional.interpolate(y, (32, 32), **way).clamp(0, 1)
        small.append(psnr_of(y[0].permute(1, 2, 0).numpy(), each / 255))
    assert found.scores["psnr_shrunk"].value == pytest.approx(np.mean(small), abs=1e-3)
    for key in ("mean_picture", "shrunk"):
        gain = found.scores["psnr"].value - found.scores[f"psnr_{key}"].value
        assert found.scores[f"gain_{key}"].value == pytest.approx(gain)
    kept = json.loads((run.path / "config.json").read_text())["task_settings"]["baselines"]
    assert (kept["shape"], kept["code"]) == ([32, 32, 3], 64)
    page = (run.path / "report.html").read_text()
    assert "Against answers without a net" in page
    assert "4 x 5 pixels have 60 values, the code of the net 64." in page


def test_each_picture_is_scored_once(tmp_path, monkeypatch):
    """The rows of items.csv are those of the meter, equal to what the task says of one picture."""
    run = striate.train(write_pictures(tmp_path / "data"), out=tmp_path, size=32, **QUICK)
    held = run.held(run.open_data(), "val")
    for row, item in zip(held.rows, held.items(range(len(held.rows))), strict=True):
        expected = held.used.task.item_scores(item.answer, item.truth)
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6)
    monkeypatch.setattr(type(held.used.task), "item_scores", None)  # called, it would fail
    again = run.held(run.open_data(), "val")
    assert list(again.rows) == list(held.rows)


def test_a_net_that_loses_to_an_answer_without_one_says_so_first(tmp_path):
    folder = write_pictures(tmp_path / "data")
    run = striate.train(folder, out=tmp_path, **dict[str, Any](QUICK, lr=1e-9))
    said = "loses to the mean training picture (by "
    assert run.as_text().splitlines()[0].startswith(f"conv_autoencoder {said}")
    assert "an answer that needs no net does better" in run.as_text().splitlines()[0]
    found = run.evaluate()
    assert found.as_text().splitlines()[0].startswith(said)
    assert found.as_dict()["verdict"].startswith(said)
    page = (run.path / "report.html").read_text()
    assert f"this net {said}" in page
    assert "is no better than an answer without a net" in page


def test_a_net_without_a_known_code_is_held_against_the_mean_alone(tmp_path):
    folder = write_pictures(tmp_path / "data")
    settings: dict[str, Any] = {**SHORT, "task": "reconstruct", "epochs": 1, "size": 32}
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3))
    run = striate.train(folder, net, out=tmp_path, name="own", **settings)
    assert {"psnr_mean_picture", "gain_mean_picture"} <= set(run.summary["scores"])
    assert not any("shrunk" in name for name in run.summary["scores"])


def test_a_run_from_before_there_were_baselines_is_read(tmp_path):
    task = named("reconstruct").restored((), {"color": "grey"})
    assert task.config() == {"color": "grey"}
    meter = task.meter(whole=True)
    meter.add([np.zeros((9, 8, 1), np.float32)], [np.zeros((9, 8, 1), np.float32)])
    assert task.verdict(meter.scores()) == ""


@pytest.mark.parametrize("change", [{"shape": [9, 8, 3]}, {"shape": [0, 8, 1]}, {"mean": "AAAA"}])
def test_damaged_baselines_are_refused(change):
    task = named("reconstruct").restored((), {"color": "grey"})
    made = task.measured(nn.Identity(), [np.full((3, 9, 8, 1), k, np.uint8) for k in (10, 20)])
    config = made.config()
    again = named("reconstruct").restored((), config)
    assert again.config() == config
    meter = again.meter(whole=True)
    assert isinstance(meter, Copies)
    assert meter.baselines
    (usual,) = meter.baselines.answers(np.zeros((9, 8, 1), np.float32))
    assert usual == pytest.approx(np.full((9, 8, 1), 15 / 255))
    with pytest.raises(ValueError, match="mean picture"):
        named("reconstruct").restored(
            (), {**config, "baselines": {**config["baselines"], **change}}
        )


def test_the_middle_is_what_an_unpadded_net_is_compared_with():
    task = named("reconstruct").restored((), {"color": "grey"})
    target = torch.rand(2, 1, 9, 8)
    loss, _ = task.criterion(target[:, :, 2:-2, 1:-1], target)
    assert float(loss) == 0


def test_parts_of_the_loss_are_columns(vgg, tmp_path):
    folder, (weights, _) = write_pictures(tmp_path / "data"), vgg
    loss = f"l2+0.1*edge+1e-3*perceptual:vgg11={weights}@features.3"
    run = striate.train(folder, out=tmp_path, loss=loss, **QUICK)
    header = (run.path / "results.csv").read_text().splitlines()[0].split(",")
    assert {"l2", "edge", "perceptual"} <= {name.removeprefix("train_") for name in header}


def test_a_look_is_what_the_layer_of_the_whole_net_gives(vgg):
    weights, whole = vgg
    look = losses.Look("vgg11", str(weights), "features.6")
    looked = feature_net.built(look)
    x = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in feature_net.IMAGENET)
    half = nn.Sequential(*list(whole.features)[:7]).half().float()
    expected = (x - mean) / std
    for layer in half:
        expected = layer(expected)
    torch.testing.assert_close(looked.features(x, ["features.6"])[0], expected)
    assert sum(p.numel() for p in looked.parameters()) < 400_000  # nothing behind the layer
    y = torch.rand(2, 3, 32, 32)
    loss = losses.read(f"2*perceptual:vgg11={weights}@features.6").seen_through(
        feature_net.perceptual
    )
    answers = [x.clone().requires_grad_() for _ in range(2)]
    seen, wanted = (looked.features(z, ["features.6"])[0] for z in (answers[0], y))
    by_hand = 2 * (seen - wanted).square().mean()
    found = loss(answers[1], y)
    torch.testing.assert_close(found, by_hand)
    by_hand.backward()
    found.backward()
    torch.testing.assert_close(answers[1].grad, answers[0].grad)


def test_grey_pictures_are_seen_by_a_net_of_colours(vgg):
    looked = feature_net.built(losses.Look("vgg11", str(vgg[0]), "features.0"))
    grey = torch.rand(1, 1, 16, 16)
    one, other = (looked.features(x, ["features.0"])[0] for x in (grey, grey.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(one, other)


def test_a_run_brings_its_own_weights_and_preprocessing(tmp_path):
    folder = write_classes(tmp_path / "data")
    settings: dict[str, Any] = {
        **SHORT,
        "net": "allcnn_cifar",
        "width": 0.0625,
        "epochs": 1,
        "size": 16,
    }
    run = striate.train(folder, out=tmp_path, **settings)
    look = losses.Look("allcnn_cifar", str(run.path), "features.conv2")
    looked = feature_net.built(look)
    config = json.loads((run.path / "config.json").read_text())
    assert looked.mean.flatten().tolist() == pytest.approx(
        [m / 255 for m in config["preprocessing"]["mean"]]
    )
    trained = run.net.get_parameter("features.conv1.weight")
    assert torch.equal(looked.net.get_parameter("features.conv1.weight"), trained)
    with pytest.raises(RecipeError, match=r"holds allcnn_cifar, not vgg11: name that net"):
        feature_net.check(losses.Look("vgg11", str(run.path), "features.0"), "perceptual")


@pytest.mark.parametrize("fault", ["no number", "another net"])
def test_weights_to_look_through_that_cannot_be_used_are_refused_before_anything_is_read(
    fault, vgg, tmp_path, monkeypatch
):
    folder, weights = write_pictures(tmp_path / "data"), tmp_path / "faulty.safetensors"
    tensors = load_file(vgg[0])
    first = tensors["features.0.weight"]
    tensors["features.0.weight"] = first.fill_(float("nan")) if fault == "no number" else first[:8]
    save_file(tensors, weights)
    module = importlib.import_module("striate.training.fit")
    monkeypatch.setattr(module, "chosen_net", lambda *_: pytest.fail("a net is built already"))
    with pytest.raises(CheckpointError, match=r"faulty.safetensors.*features\.0\.weight"):
        striate.train(
            folder, out=tmp_path, loss=f"l2+perceptual:vgg11={weights}@features.3", **QUICK
        )


def test_own_nets_are_copied_and_say_how_pictures_are_prepared():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    net.__dict__["pretrained_cfg"] = {"mean": (0.2,), "std": (0.1,)}
    looked = feature_net.own(net)
    assert isinstance(looked, FeatureNet)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    torch.testing.assert_close(
        looked.prepared(torch.full((1, 1, 2, 2), 0.3)), torch.ones(1, 1, 2, 2)
    )


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (
            "perceptual:vgg16@features.8",
            "vgg16 sees nothing without trained weights: vgg16=WEIGHTS names a file",
        ),
        ("perceptual:vgg17=random@features.8", "no net is called 'vgg17'; did you mean vgg19"),
        (
            "perceptual:vgg16=random@features.88",
            "vgg16 has no layer 'features.88'; did you mean features.8",
        ),
        (
            "perceptual:vgg16=nowhere.pt@features.8",
            "nowhere.pt: no such file, and no published name",
        ),
        ("perceptual:tdnn=random@conv1", "tdnn reads a series, and looks at no pictures"),
        (
            "perceptual:vgg16",
            "perceptual compares what a layer gives: perceptual:NET=WEIGHTS@LAYER",
        ),
        ("perceptual", "perceptual compares what a layer gives: perceptual:NET=WEIGHTS@LAYER"),
        ("iou", "loss=iou: pictures that are given back need l1, l2, huber, edge, perceptual"),
        ("cross_entropy", "pictures that are given back need l1, l2, huber, edge, perceptual"),
    ],
)
def test_losses_that_do_not_fit_are_one_line(loss, says, tmp_path, monkeypatch):
    from striate.data.dataset import Data

    monkeypatch.setattr(Data, "arrays", lambda *_a, **_k: pytest.fail("decoded"))
    folder = write_pictures(tmp_path / "data")
    with pytest.raises((RecipeError, ArgumentError)) as error:
        striate.train(folder, out=tmp_path, **{**QUICK, "loss": loss})
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("write", "loss"),
    [
        (write_classes, "dice"),
        (write_classes, "perceptual:vgg16=random@features.0"),
        (write_masks, "perceptual:vgg16=random@features.0"),
        (write_boxes, "iou"),
    ],
)
def test_other_targets_refuse_what_does_not_fit_them(write, loss, tmp_path):
    with pytest.raises(RecipeError, match=rf"^loss={loss.split('@')[0]}.* need "):
        striate.train(write(tmp_path / "data"), out=tmp_path, loss=loss)


@pytest.mark.parametrize("loss", ["0.5*dice+cross_entropy", "edge+cross_entropy", "iou+0.1*edge"])
def test_masks_take_weighted_sums(loss, tmp_path):
    settings: dict[str, Any] = {**CASES["segment"].settings, "epochs": 1, "loss": loss}
    run = striate.train(write_masks(tmp_path / "data"), out=tmp_path, **settings)
    header = (run.path / "results.csv").read_text().splitlines()[0]
    names = {part.rpartition("*")[2] for part in loss.split("+")}
    assert names <= {name.removeprefix("train_") for name in header.split(",")}


@pytest.mark.parametrize("color", ["hsv", "ycbcr", "xyz"])
def test_nets_look_at_no_other_colours(color, tmp_path):
    folder = write_pictures(tmp_path / "data")
    loss = "perceptual:vgg16=random@features.3"
    settings: dict[str, Any] = {**QUICK, "loss": loss, "color": color}
    with pytest.raises(RecipeError, match=f"color={color}: the net of loss=.* use color=rgb"):
        striate.train(folder, out=tmp_path, **settings)
