"""Pictures of a run and its data: every number against PyTorch's or NumPy's own."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import cli, see
from striate.errors import ArgumentError
from striate.plan import Plan
from striate.see import features
from striate.see.pictures.activations import spreads
from striate.see.pictures.neighbours import nearest
from tasks.conftest import CASES


def held(run, split="val"):
    data = run.open_data()
    arrays, _ = features.stored(run, data, split)
    pre = run.config.preprocessing
    x = pre.normalise(pre.centre(torch.from_numpy(np.array(arrays.inputs[:]))))
    return data, arrays, x


def read(run, x):
    """What the last layer reads, by the net's own parts."""
    given = []
    handle = run.net.get_submodule("fc3").register_forward_pre_hook(
        lambda _m, i: given.append(i[0])
    )
    with torch.no_grad():
        run.net(x)
    handle.remove()
    return given[0].numpy()


def test_features_are_what_the_last_layer_reads_and_are_kept(run):
    data, arrays, x = held(run)
    found = features.features(run, arrays, "a key")
    assert np.allclose(found, read(run, x), atol=1e-5)
    kept = list((run.path / "features").glob("*.npy"))
    again = features.features(run, arrays, "a key")
    assert isinstance(again, np.memmap)
    assert np.array_equal(again, found)
    features.features(run, arrays, "another key")
    assert len(list((run.path / "features").glob("*.npy"))) == len(kept) + 1
    assert len(data.splits["val"]) == len(found)


def test_nearest_by_every_distance():
    rng = np.random.default_rng(0)
    asked, known = rng.normal(size=(5, 7)), rng.normal(size=(9001, 7))
    index, far = nearest(asked.astype(np.float32), known.astype(np.float32), 6)
    every = np.linalg.norm(asked[:, None] - known[None], axis=2)
    assert np.array_equal(index, every.argsort(1)[:, :6])
    assert np.allclose(far, np.sort(every, 1)[:, :6], atol=1e-5)


def test_neighbours(run):
    _, arrays, x = held(run, "train")
    found = see.neighbours(run, x[:3])
    assert [near[0].name for near in found.near] == list(arrays.names[:3]), "itself is nearest"
    assert all(near[0].distance < 1e-3 < near[1].distance for near in found.near)
    with torch.no_grad():
        wanted = run.net(x[:3]).softmax(1)
    for k, each in enumerate(found.classes):
        assert dict(each) == pytest.approx(
            dict(zip(run.config.classes, wanted[k].tolist(), strict=True))
        )
    with pytest.raises(ArgumentError, match="no split 'trian'"):
        see.neighbours(run, x[:1], among="trian")
    with pytest.raises(ArgumentError, match="count=0"):
        see.neighbours(run, x[:1], count=0)


def test_images_are_brought_to_where_the_net_is(run, monkeypatch):
    """Every batch that the net reads has come through its plan."""
    _, _, x = held(run)
    see.neighbours(run, x[:2], among="val")  # from here on the features of the data are there
    brought: list[torch.Tensor] = []
    given: list[torch.Tensor] = []

    def bring(_plan: Plan, batch: torch.Tensor) -> torch.Tensor:
        brought.append(batch.clone())
        return brought[-1]

    def note(_net: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        given.append(inputs[0])

    monkeypatch.setattr(Plan, "batch", bring)
    handle = run.net.register_forward_pre_hook(note)
    see.neighbours(run, x[:2], among="val")
    handle.remove()
    assert len(given) == len(brought) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    "what", ["neighbours", "maps", "saliency", "deconvnet", "field", "invert", "node_link"]
)
def test_images_of_the_cpu_are_seen_by_a_net_on_a_gpu(shapes, tmp_path, what):
    run = striate.train(shapes, net="lenet5", epochs=1, out=tmp_path)
    assert next(run.net.parameters()).is_cuda
    _, _, x = held(run)
    getattr(see, what)(run if what == "neighbours" else run.net, x[:2])


def test_each_of_several_labels_has_a_probability_of_its_own(several):
    _, _, x = held(several)
    found = see.neighbours(several, x[:2])
    with torch.no_grad():
        wanted = several.net(x[:2]).sigmoid()
    for k, each in enumerate(found.classes):
        assert dict(each) == pytest.approx(
            dict(zip(several.config.classes, wanted[k].tolist(), strict=True)), abs=1e-5
        )


def test_principal_components(run):
    _, _, x = held(run)
    found = see.embedding(run)
    centred = read(run, x).astype(np.float64)
    centred -= centred.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    wanted = np.abs(u[:, :2] * s[:2])
    assert np.allclose(np.abs(found.points), wanted, atol=1e-3)
    assert found.kept == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), abs=1e-6)
    assert len(found.names) == len(x)
    assert found.as_svg().count("<image") == len(x)


def test_tsne_keeps_classes_apart(run):
    found = see.embedding(run, method="tsne", split="train")
    centres = np.array([found.points[found.labels == k].mean(0) for k in range(3)])
    own = np.linalg.norm(found.points[:, None] - centres[None], axis=2).argmin(1)
    assert (own == found.labels).mean() > 0.6


@pytest.mark.parametrize("name", ["localise", "multilabel"])
def test_items_are_counted_by_class_where_they_have_one(name, tmp_path):
    """Also where a box comes with it; without one all are one row."""
    case = CASES[name]
    settings = dict(case.settings, epochs=1)
    run = striate.train(case.write(tmp_path / "d"), out=tmp_path, **settings)
    found = see.embedding(run, split="train")
    rows = [line.split()[:2] for line in found.as_text().splitlines()[3:]]
    assert sum(int(count) for _, count in rows) == len(found.names)
    assert [row[0] for row in rows] == (list(found.classes) or ["all"])
    assert bool(found.classes) is (name == "localise")


def test_a_part_of_the_items_is_of_all_classes(run, monkeypatch):
    """Of items that lie in the order of their classes."""
    read = []
    monkeypatch.setattr(
        "striate.see.pictures.activations.spreads",
        lambda _net, _paths, batches: read.extend(batches()) or (),
    )
    data, _, x = held(run)
    see.activations(run, limit=3)
    labels = data.splits["val"].labels
    shown = [int(np.flatnonzero((x == one).flatten(1).all(1))[0]) for one in torch.cat(read)]
    assert sorted(labels[shown].tolist()) == [0, 1, 2]


def test_values_of_layers(run):
    _, _, x = held(run)
    found = {each.path: each for each in see.activations(run).layers}
    seen: dict[str, torch.Tensor] = {}
    handles = [
        run.net.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, path=path: seen.update({path: out.detach().clone()})
        )
        for path in found
    ]
    with torch.no_grad():
        run.net(x)
    for handle in handles:
        handle.remove()
    for path, each in found.items():
        value = seen[path]
        assert each.mean == pytest.approx(value.mean().item(), abs=1e-4)
        assert each.std == pytest.approx(value.std(unbiased=False).item(), rel=1e-3)
        assert each.zero == pytest.approx((value == 0).float().mean().item())
        assert each.counts.sum() == value.numel()
        assert each.shape == tuple(value.shape[1:])


def test_dead_and_saturated_units_are_found():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2), nn.Tanh())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.get_parameter("0.bias").copy_(torch.tensor([1.0, -1.0, 2.0]))
        net.get_parameter("2.bias").copy_(torch.tensor([9.0, 0.1]))
    found = spreads(net, ["1", "3"], lambda: iter([torch.rand(4, 2), torch.rand(3, 2)]))
    assert found[0].dead == (1,)
    assert found[0].zero == pytest.approx(1 / 3)
    assert found[1].saturated == pytest.approx(0.5)
    assert np.isnan(found[0].saturated)


def ends(*layers: nn.Module) -> tuple[nn.Module, str]:
    """A net that is looked at where it ends."""
    return nn.Sequential(*layers), str(len(layers) - 1)


@pytest.mark.parametrize(
    ("layers", "space"),
    [
        ((nn.Linear(5, 5),), "tokens"),
        ((nn.Linear(5, 5), nn.ReLU()), "tokens"),
        ((nn.Conv1d(5, 5, 1), nn.Flatten(), nn.Unflatten(1, (7, 5)), nn.LayerNorm(5)), "maps"),
        ((nn.Conv1d(5, 5, 1),), "maps"),
        ((nn.Conv1d(5, 5, 1), nn.ReLU()), "maps"),
        ((nn.Conv1d(5, 5, 1), nn.LayerNorm([5, 7])), "maps"),
        ((nn.Linear(5, 5), nn.Flatten(), nn.Unflatten(1, (5, 7)), nn.BatchNorm1d(5)), "tokens"),
    ],
    ids=lambda value: (
        "-".join(type(each).__name__ for each in value) if isinstance(value, tuple) else value
    ),
)
def test_dead_channels_are_no_tokens(layers, space):
    """Of 7 tokens or places with 5 channels, the third channel is dead."""
    net, path = ends(*layers)
    last = layers[-1]
    with torch.no_grad():
        for parameter in layers[0 if isinstance(last, nn.ReLU) else -1].parameters():
            (parameter if parameter.shape[0] == 5 else parameter.T)[2] = 0
    found = spreads(
        net, [path], lambda: iter([torch.randn(6, *((7, 5) if space == "tokens" else (5, 7)))])
    )
    assert (found[0].dead, found[0].channels) == ((2,), 5)


def test_a_layer_that_runs_on_several_widths():
    shared = nn.ReLU()
    net = nn.Sequential(
        nn.Conv2d(1, 3, 1), shared, nn.Conv2d(3, 8, 1), shared, nn.Conv2d(8, 2, 1), shared
    )
    with torch.no_grad():
        net.get_parameter("2.weight")[5] = 0
        net.get_parameter("2.bias")[5] = -1
    (found,) = spreads(net, ["1"], lambda: iter([torch.randn(4, 1, 6, 6)]))
    assert found.channels == 8
    assert 5 in found.dead


def test_views_are_those_of_the_training(run):
    found = see.augmented(run, items=3, views=8)
    assert found.policy == "flip"
    for item, views in zip(found.items, found.views, strict=True):
        kinds = {
            "same" if np.array_equal(view, item) else
            "mirrored" if np.array_equal(view, item[:, ::-1]) else "other"
            for view in views
        }  # fmt: skip
        assert kinds <= {"same", "mirrored"}
        assert len(kinds) == 2
    assert see.augmented(run, augment="none", items=2, views=1).policy == "none"
    with pytest.raises(ArgumentError, match="flpi"):
        see.augmented(run, augment="flpi")


@pytest.mark.parametrize(
    "words",
    [
        ["activations"],
        ["augmented", "--items", "2"],
        ["embedding", "--limit", "10"],
        ["neighbours"],
        ["maximise", "--steps", "2"],
        ["invert", "--steps", "2"],
        ["templates"],
    ],
    ids=lambda words: words[0],
)
def test_commands(run, shapes, words, tmp_path, capsys):
    what, *options = words
    files = [str(shapes / "bar" / "00.png")] if what in ("neighbours", "invert") else []
    page = tmp_path / "a.html"
    code = cli.main(["see", what, str(run.path), *files, *options, "--out", str(page), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["what"] == what
    assert document["net"] == str(run.path)
    assert document["items"] == files
    assert page.stat().st_size > 500
