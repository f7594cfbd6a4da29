"""Nets of timm and torchvision by name; small fakes of both packages stand in for them."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import striate
from striate.data.cache import store
from striate.errors import ArgumentError, DataError, MissingExtraError
from striate.models import catalog, libraries
from striate.runs import Run
from striate.runs.config import NetSpec
from striate.training import Progress, read_recipe
from striate.training.prepare import chosen_net
from striate.weights import published
from striate.workbench import nets
from striate.workbench.train import train_recipe

FAKES = Path(__file__).parents[1] / "fakes"
NETS = ("timm/tiny", "torchvision/small")
PARAMETERS = 3 * 8 * 9 + 16 + 8 * 12 + 12


def forget(patch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in catalog.LIBRARIES:
            patch.delitem(sys.modules, name)
    libraries.entry.cache_clear()
    libraries.pictures.cache_clear()


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both packages are installed."""
    forget(monkeypatch)
    monkeypatch.syspath_prepend(FAKES)
    yield
    forget(monkeypatch)


@pytest.fixture
def weights(packages, tmp_path, monkeypatch) -> dict[str, dict[str, torch.Tensor]]:
    """Published weights of both nets, downloaded before."""
    timm: Any = import_module("timm")
    models: Any = import_module("torchvision.models")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    folder = store().folder / "weights"
    folder.mkdir(parents=True)
    made = timm.create_model("tiny").state_dict()
    save_file(
        {f"old.{name}": tensor for name, tensor in made.items()},
        folder / "timm-tiny.a1_in1k.safetensors",
    )
    other = models.state()
    torch.save(other, folder / "torchvision-small.IMAGENET1K_V2.pth")
    return {"timm/tiny": made, "torchvision/small": other}


def trained(data, out, **settings):
    said: list[str] = []
    recipe = read_recipe("quick", {"epochs": 1, "plan": "default", "health": 0, **settings})
    fitted = train_recipe(data, recipe, out=out, progress=Progress(say=said.append))
    return fitted.run, said


@pytest.mark.parametrize("name", NETS)
def test_a_row_is_counted_on_the_net_itself(packages, name):
    row = catalog.entry(name)
    assert (row.input, row.classes, row.params) == ((3, 32, 32), 12, PARAMETERS)
    assert row.macs == 16 * 16 * 8 * 27 + 8 * 12
    assert catalog.does(row, "classify", 3)
    assert not catalog.does(row, "segment", 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", NETS)
def test_it_is_built_for_classes_and_channels(packages, name, channels):
    net = catalog.build(name, num_classes=5, in_channels=channels)
    assert net(torch.zeros(2, channels, 40, 40)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm/tinny", "timm has no net 'tinny'; did you mean tiny"),
        ("timm/hf-hub:someone/net", "timm has no net 'hf-hub:someone/net'; there are: tiny"),
        ("timm/local-dir:/tmp", "timm has no net 'local-dir:/tmp'"),
        ("timm/../tiny", "timm has no net ''"),
        ("timm/tiny.other", "timm/tiny has no weights 'other'"),
        ("torchvision/smal", "torchvision has no net 'smal'; did you mean small"),
        ("torchvision/small.V3", "torchvision/small has no weights 'V3'; there are: IMAGENET1K_V1"),
    ],
)
def test_what_a_package_does_not_list_is_not_built(packages, name, words):
    with pytest.raises(ArgumentError) as error:
        catalog.build(name)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("library", catalog.LIBRARIES)
def test_a_package_that_is_missing_is_told_with_the_way_to_install_it(library, monkeypatch):
    forget(monkeypatch)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError) as error:
        nets.find(f"{library}/resnet18")
    assert str(error.value) == (
        f"nets named {library}/NAME need the package {library}: pip install {library}"
    )


@pytest.mark.parametrize("name", NETS)
def test_it_is_measured_at_the_size_it_names(packages, name):
    named = nets.find(name)
    assert named.known_shape() == (3, 32, 32)
    assert sum(p.numel() for p in named.net.parameters()) == PARAMETERS


@pytest.mark.parametrize("setting", [{"width": 0.5}, {"options": {"drop_rate": 0.5}}])
def test_settings_of_our_families_are_refused(packages, setting):
    spec = NetSpec("timm/tiny", **setting)
    with pytest.raises(ArgumentError):
        spec.build()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_run_is_trained_rebuilt_and_used(packages, shapes, tmp_path, name):
    run, said = trained(shapes, tmp_path, net=name)
    assert run.path.name == f"shapes-{name.replace('/', '-')}"
    pre = run.config.preprocessing
    assert pre.shape[1:] == (32, 32)
    assert pre.mean == pytest.approx((255 * 0.4,))  # the pictures are grey
    assert any(line.startswith(f"normalised as for {name}: mean 102.0") for line in said)
    again = Run.load(run.path)
    assert again.config.net.name == name
    assert again.config.versions[name.partition("/")[0]] in ("1.0.0", "0.0")
    assert again.evaluate().scores["accuracy"] == run.evaluate().scores["accuracy"]
    assert again.predict([next(shapes.glob("bar/*.png"))])[0].answer is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_published_weights_by_one_word(weights, shapes, tmp_path, name):
    tag = {"timm/tiny": "a1_in1k", "torchvision/small": "IMAGENET1K_V2"}[name]
    run, said = trained(shapes, tmp_path, net=name, weights="published", color="rgb", epochs=1)
    assert any(line.startswith(f"weights: {name}.{tag}") for line in said)
    assert any("has 3 outputs, the file's 12: it starts anew" in line for line in said)
    pre = run.config.preprocessing
    assert pre.mean == pytest.approx((127.5, 102.0, 76.5))
    assert pre.std == pytest.approx((51.0, 63.75, 127.5))
    assert any(line.startswith("linear probe: ") for line in said)
    assert f"weights: {name}.{tag}\n" in (run.path / "args.yaml").read_text()


@pytest.mark.parametrize("name", NETS)
def test_the_weights_are_the_published_ones(weights, name):
    net = striate.build(name, weights="published")
    assert isinstance(net, nn.Module)
    for key, tensor in weights[name].items():
        assert torch.equal(net.state_dict()[key], tensor), key
    grey = striate.build(name, weights="published", in_channels=1)
    first = next(iter(grey.parameters()))
    torch.testing.assert_close(first.sum(1), next(iter(weights[name].values())).sum(1))


@pytest.mark.parametrize("name", NETS)
def test_a_file_of_other_classes_keeps_the_rest(weights, tmp_path, name, caplog):
    save_file(weights[name], tmp_path / "mine.safetensors")
    net = striate.build(name, weights=tmp_path / "mine.safetensors", num_classes=4)
    (said,) = caplog.messages
    assert said.endswith("has 4 outputs, the file's 12: it starts anew, the rest is loaded")
    first = next(iter(weights[name]))
    assert torch.equal(net.state_dict()[first], weights[name][first])


def test_of_several_weights_the_usual_ones_are_taken(packages):
    assert published.best("torchvision/small") == "torchvision/small.IMAGENET1K_V2"
    words = "torchvision/small.IMAGENET1K_V2 (61.2 % of ImageNet, as published)"
    assert published.described("torchvision/small.IMAGENET1K_V2") == words
    assert published.best("torchvision/bare") is None


def test_without_a_network_one_line_says_where_the_file_goes(packages, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(libraries, "HUB", "http://127.0.0.1:9/{}/{}")
    with pytest.raises(DataError) as error:
        striate.build("timm/tiny", weights="published")
    assert str(error.value).startswith("http://127.0.0.1:9/timm/tiny.a1_in1k/model.safetensors ")
    assert str(error.value).endswith(f"put it at {tmp_path}/weights/timm-tiny.a1_in1k.safetensors")


@pytest.mark.parametrize("name", ["os/system", "os:system", "timm.data/x", "timm/hf-hub:a/b"])
def test_a_config_names_no_other_code(packages, name):
    with pytest.raises(ArgumentError):
        NetSpec(name, num_classes=3).build()


@pytest.mark.parametrize("name", NETS)
def test_first_weights_are_a_function_of_the_seed(packages, shapes, name):
    def built(seed):
        recipe = read_recipe("quick", {"net": name, "color": "rgb", "seed": seed})
        return chosen_net(None, recipe, striate.open(shapes))[1].state_dict()

    before = torch.random.get_rng_state()
    one, again, other = built(1), built(1), built(2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(tensor, again[key]) for key, tensor in one.items())
    assert not all(torch.equal(tensor, other[key]) for key, tensor in one.items())
