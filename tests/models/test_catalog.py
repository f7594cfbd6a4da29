"""The catalogue: names, settings, and what is said to a mistake."""

import csv
import json
import subprocess
import sys

import pytest
import torch

from striate.errors import ArgumentError, ShapeError, nearest
from striate.models.catalog import CATALOG, build, nets

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
    assert {"11,689,512", "1,814,073,344"} < set(text.split())
    assert len(text.splitlines()) == 1 + len(CATALOG)
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
            "lenet5 has no option 'pol'; did you mean pool? There are: act, drop_rate, pool",
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
