"""The catalogue: names, settings, and what is said to a mistake."""

import csv
import json
import re
import subprocess
import sys

import pytest
import torch

from striate.errors import ArgumentError, ShapeError, nearest
from striate.models.catalog import CATALOG, able, build, nets
from striate.models.catalog_rows import TOP1
from striate.weights import PUBLISHED

KEYS = {
    "name",
    "family",
    "year",
    "paper",
    "tasks",
    "input",
    "params",
    "params_train",
    "macs",
    "published",
}


def test_the_keys_are_the_names():
    assert all(name == row.name for name, row in CATALOG.items())


# The printed multiply-adds of these count the auxiliary head too: 65x65 values of 3x3 over 1024 maps to 256,
# then 1x1 to 21.
AUXILIARY_MACS = {"fcn_resnet50": 65 * 65 * (9 * 1024 * 256 + 256 * 21)}
# The sources of these count normalisation and other steps too; the tests of the families count as they do.
BEYOND_MACS = {"inception_v2", "inception_v4", "inception_resnet_v2", "xception"}


def test_published_figures_are_those_of_the_table_of_networks(shared):
    with (shared / "figures" / "networks.csv").open(newline="") as file:
        table = {row["net"]: row for row in csv.DictReader(file)}
    for name in CATALOG.keys() & table.keys():
        row, published = CATALOG[name], table[name]
        for ours, printed in ((row.params, "params"), (row.params_train, "params_train")):
            assert abs(ours - int(published[printed])) < _unit(
                published[printed], published["source"]
            )
        if published["gmacs"]:
            decimals = len(published["gmacs"].partition(".")[2])
            macs = row.macs + AUXILIARY_MACS.get(name, 0)
            if name not in BEYOND_MACS:
                assert f"{macs / 1e9:.{decimals}f}" == published["gmacs"]
            assert row.published.macs == round(float(published["gmacs"]) * 1e9)
            assert row.published.source == published["source"]


def _unit(figure: str, source: str) -> int:
    """What the last digit of a rounded figure stands for; the tests of its family say how it is rounded."""
    rounded = "round" in source or "about" in source
    return 10 ** (len(figure) - len(figure.rstrip("0"))) if rounded else 1


def test_nets_has_the_json_shape():
    rows = json.loads(json.dumps(nets().as_list()))
    assert [row["name"] for row in rows] == list(CATALOG)
    assert all(row.keys() >= KEYS for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["lenet5"]["input"] == [1, 28, 28]
    assert by_name["linear"]["published"]["source"].startswith("derived")
    assert nets().as_dict() == {"nets": nets().as_list()}


def test_a_pattern_picks_by_name_or_family():
    assert {"lenet5", "resnet18"} < {row.name for row in nets("net").entries}
    assert {row.name for row in nets("lin*").entries} == {"linear", "mlp"}
    with pytest.raises(ArgumentError) as error:
        nets("resnat18")
    assert str(error.value) == f"no net matches 'resnat18'; {nearest('resnat18', CATALOG)}"


def test_the_table_shows_every_net():
    text = nets().as_text()
    assert "resnet18  " in text
    assert {"11.7\xa0M", "1.81\xa0G", "69.8\xa0%"} < set(re.split(r"  +", text))
    assert len(text.splitlines()) == 2 + len(CATALOG)
    assert nets()._repr_html_().count("<tr>") == 1 + len(CATALOG)


@pytest.mark.slow
def test_listing_the_nets_needs_no_torch():
    code = "import sys; from striate.models.catalog import nets; nets().as_text(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "resnet81",
            {},
            f"no net is called 'resnet81'; {nearest('resnet81', CATALOG)}",
        ),
        (
            "lenet5",
            {"pol": "max"},
            "lenet5 has no option 'pol'; did you mean pool? There are: act, batch_norm, drop_rate, pool",
        ),
        ("resnet18", {"act": "relu"}, "resnet18 has no option 'act'; there are: drop_rate"),
        (
            "lenet5",
            {"act": "reul"},
            "lenet5: act has no value 'reul'; did you mean relu? There are: relu, sigmoid, tanh",
        ),
        (
            "mlp",
            {"hidden": [64, 0]},
            "mlp: hidden takes whole numbers from 1 up, as in [128]; got [64, 0]",
        ),
        (
            "mlp",
            {"hidden": []},
            "mlp: hidden takes whole numbers from 1 up, as in [128]; got []",
        ),
        (
            "lenet5",
            {"act": None},
            "lenet5: act has no value: leave it out, which means act=relu, or give it one",
        ),
        (
            "googlenet",
            {"aux_weights": None},
            "googlenet: aux_weights has no value: leave it out, which means aux_weights=0.3,0.3, or give it one",
        ),
        (
            "googlenet",
            {"auxiliary": None},
            "googlenet: auxiliary has no value: leave it out, which means auxiliary=true, or give it one",
        ),
        ("mlp", {"width": 0.0}, "mlp: width must be a factor above 0, got 0.0"),
        ("mlp", {"width": float("nan")}, "mlp: width must be a factor above 0, got nan"),
    ],
)
def test_a_mistake_is_an_argument_error(name, settings, message):
    with pytest.raises(ArgumentError) as error:
        build(name, **settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lenet5", {"num_classes": -1}, "lenet5: num_classes must be at least 1, got -1"),
        ("linear", {"in_channels": -1}, "linear: in_channels must be at least 1, got -1"),
        ("linear", {"size": (28, 0)}, "linear: the width in size must be at least 1, got 0"),
        (
            "lenet5",
            {"size": 40},
            (
                "lenet5: fc1 needs maps of 5x5, which come from pictures of 28x28 or 32x32; "
                "got 40x40; resize with size=28 or size=32"
            ),
        ),
        (
            "resnet18",
            {"size": (31, 64)},
            (
                "resnet18: layer4 has stride 32 and needs pictures of at least 32x32; "
                "got 31x64; enlarge them with size=32"
            ),
        ),
    ],
)
def test_a_size_that_does_not_fit_is_a_shape_error(name, settings, message):
    with pytest.raises(ShapeError) as error:
        build(name, **settings)
    assert str(error.value) == message
    assert error.value.exit_status == 2


def test_hidden_layers_are_an_option():
    net = build("mlp", hidden=[300, 100], act="tanh")
    assert [tuple(p.shape) for p in net.parameters() if p.ndim == 2] == [
        (300, 784),
        (100, 300),
        (10, 100),
    ]
    assert net.widths == (100,)
    assert build("mlp", hidden=5).widths == (5,)


def test_width_scales_and_rounds():
    assert build("lenet5", width=0.01).widths == (1, 1)
    assert build("lenet5", width=1.5).widths == (9, 24)
    # Residual nets keep multiples of 8.
    assert build("resnet18", size=32, width=0.3, init=False).widths == (16, 40, 80, 152)


def test_building_on_another_device_draws_the_same_numbers():
    with torch.device("meta"):
        net = build("lenet5")
    assert next(net.parameters()).device.type == "meta"


SEGMENT = {"enet", "fcn", "fcn32s", "fcn16s", "fcn8s", "fcn_resnet50", "unet", "unet_same"}


def test_what_can_be_done_on_what_is_known_without_building():
    assert set(able("segment", 3)) == SEGMENT
    assert set(able("detect", 3)) == {"yolo_v1", "yolo_v1_tiny", "yolo_grid"}
    assert set(able("forecast", 3)) == {"stgcn", "tgcn3d"}
    assert set(able("unsupervised", 3)) == {"neocognitron", "cdbn"}
    assert able("classify", 2) == ["tdnn", "fcn1d"]
    assert able("regress", 2) == ["fcn1d"]
    assert able("segment", 2) == able("detect", 4) == []
    assert able("classify", 4) == ["voxnet"]
    assert set(able("instances", 3)) == {"unet", "unet_same"}
    assert set(able("reconstruct", 3)) == {"conv_autoencoder", "unet_same"}
    every = {
        name
        for task in ("classify", "segment", "detect", "forecast", "unsupervised", "reconstruct")
        for name in able(task, 3)
    }
    volumes = {"voxnet", "unet3d", "unet3d_same"}
    assert sorted([*every, "tdnn", "fcn1d", *volumes]) == sorted(CATALOG)
    kinds = {name: row.kind for name, row in CATALOG.items() if row.kind != "picture"}
    series = {"tdnn": "series", "fcn1d": "series", "stgcn": "graph", "tgcn3d": "graph"}
    assert kinds == {**series, **dict.fromkeys(volumes, "volume")}
    with pytest.raises(ArgumentError) as error:
        able("segmented", 3)
    assert str(error.value).startswith("no net does 'segmented'; did you mean segment? There are: ")


def test_values_are_regressed_by_nets_whose_answers_are_free():
    classifiers = {name for axes in (2, 3) for name in able("classify", axes)}
    assert set(able("regress", 3)) == classifiers - {
        *("tdnn", "fcn1d", "lenet5_1998", "capsnet", "allcnn_cifar"),
        *("nin_cifar10", "nin_imagenet", "squeezenet1_0", "squeezenet1_1"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [*able("classify", 3), *able("classify", 2)])
def test_answers_are_bounded_where_a_bias_does_not_move_them(name):
    """A bias of the last layer moves a free answer by as much, and one behind a ReLU or a square not."""
    form = CATALOG[name].small
    net = build(name, size=form.size, width=form.width, num_classes=3).eval()
    x = torch.rand(2, *net.input_shape, generator=torch.Generator().manual_seed(0))
    head = net.get_submodule(net.head)
    if getattr(head, "bias", None) is None:
        assert CATALOG[name].bounded == (name != "bn_nin")  # the largest of several sums
        return
    with torch.no_grad():
        before = net(x)
        head.get_parameter("bias").sub_(50)
        moved = torch.allclose(net(x), before - 50, atol=1e-2)
    assert moved != CATALOG[name].bounded


@pytest.mark.parametrize("name", [*able("segment", 3), *able("detect", 3)])
def test_pictures_of_an_odd_size_are_answered_or_refused_in_one_line(name):
    form = CATALOG[name].small
    net = build(name, size=form.size, width=form.width, num_classes=3).eval()
    x = torch.rand(1, net.input_shape[0], 97, 131)
    messages = {
        "enet": "enet: halves a picture three times, so sides are multiples of 8; got 97x131; pad or resize to 104x136",
        "unet": (
            "unet: valid convolutions and even poolings take sides of 188, 204, 220 and on by 16; got 97x131; "
            "resize or pad to 188 for 97, 188 for 131, or use unet_same"
        ),
        "yolo_v1": (
            "yolo_v1: it was built for pictures of 64x64; got 97x131; resize them, or build yolo_grid, which takes any size"
        ),
        "yolo_v1_tiny": (
            "yolo_v1_tiny: it was built for pictures of 64x128; got 97x131; resize them, or build yolo_grid, which takes "
            "any size"
        ),
    }
    if name in messages:
        with pytest.raises(ShapeError) as error:
            net(x)
        assert str(error.value) == messages[name]
        return
    with torch.no_grad():
        answer = net(x)
    assert answer.shape == ((1, 13, 4, 5) if name == "yolo_grid" else (1, 3, 97, 131))


def test_the_accuracies_are_those_of_the_best_published_weights():
    best: dict[str, float] = {}
    for file in PUBLISHED.values():
        if file.top1 is not None:
            best[file.net] = max(best.get(file.net, 0.0), file.top1)
    assert best == TOP1


@pytest.mark.parametrize("width", [20, 60, 80, 120])
def test_the_table_fits_a_terminal(width):
    lines = nets().as_text(width=width).splitlines()
    assert max(len(line) for line in lines) <= max(width, 30)
    assert lines[0].split()[0] == "net"
    assert "params" in lines[0]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("neocognitron", "neocognitron: 1979 in courses: "),
        ("tdnn", "tdnn: 1987 in courses: "),
        (
            "alexnet*",
            "alexnet_2012: courses say 20 epochs and 90 % of the weights in linear layers",
        ),
        ("googlenet_2014", "googlenet_2014: courses print weights of 1, 1 and 1"),
    ],
)
def test_what_courses_say_otherwise_stands_below_a_few_nets(pattern, says):
    found = nets(pattern)
    assert says in found.as_text()
    assert says in found.as_text(width=400)
    assert says in found._repr_html_()
    assert says not in nets().as_text()
