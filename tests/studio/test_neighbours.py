"""Neighbours, patches, mistakes and the plane, held against a computation of all items at once."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from trained import trained

from striate.runs import Run
from striate.studio import launch, layer_index, neighbours
from striate.studio.routes import Refusal, Request


@pytest.fixture(scope="module")
def page() -> Any:
    with launch.begun([str(trained())]) as one:
        yield one


@pytest.fixture(scope="module")
def opened(page: Any) -> Any:
    return next(iter(page.session.nets.values()))


def indexed(opened: Any, layer: str) -> layer_index.Index:
    told = list(layer_index.indexing(opened, layer))
    assert told[-1][0] == "index"
    return layer_index.INDEXES[opened][layer]


@pytest.fixture(scope="module")
def whole(opened: Any) -> Any:
    """What the layers give of all items, by torch's own hooks."""
    x = layer_index.items_of(opened).read(0, 10_000)
    found: dict[str, torch.Tensor] = {}
    hooks = [
        opened.net.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, path=path: found.update({path: out.clone()})
        )
        for path in ("conv2", "fc2")
    ]
    with torch.no_grad():
        found["answer"] = opened.net(x).softmax(1)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("path", ["conv2", "fc2"])
def test_the_nearest_items_are_the_nearest(opened: Any, whole: Any, path: str):
    index = indexed(opened, f"{path}@0")
    features = whole[path].flatten(2).mean(2) if whole[path].ndim > 2 else whole[path]
    np.testing.assert_allclose(index.features, features.numpy(), atol=1e-4)
    facts, thumbs = neighbours.near(index, index.features[7], 9)
    apart = (features - features[7]).double().norm(dim=1)
    order = apart.argsort()[:9]
    assert facts["items"][0]["index"] == int(index.items.numbers[7])
    assert [item["d"] for item in facts["items"]] == pytest.approx(apart[order].tolist(), abs=1e-3)
    assert (facts["n"], facts["dim"]) == (359, features.shape[1])
    assert thumbs.shape == (9, 28, 28, 3)


def test_patches_are_the_strongest_cut_to_what_the_unit_reads(opened: Any, whole: Any):
    index = indexed(opened, "conv2@0")
    facts, _ = neighbours.patches(opened, index, 3)
    most = whole["conv2"][:, 3].flatten(1).max(1)
    wanted = most.values.topk(layer_index.TOP).values
    assert [item["value"] for item in facts["items"]] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert len({item["index"] for item in facts["items"]}) == layer_index.TOP
    place = {int(n): i for i, n in enumerate(index.items.numbers)}
    for item in facts["items"][:4]:
        x = index.items.read(place[item["index"]], 1)
        y0, y1, x0, x1 = item["box"]
        assert not item["whole"]
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        noise[..., y0 : y1 + 1, x0 : x1 + 1] = x[..., y0 : y1 + 1, x0 : x1 + 1]
        given, _ = layer_index.layer_of(opened, noise, "conv2", 0)  # all else may change
        assert float(given[0, 3, item["at"][0], item["at"][1]]) == pytest.approx(
            item["value"], abs=1e-4
        )


def test_mistakes_are_the_wrong_ones_the_surest_first(opened: Any, whole: Any):
    index = indexed(opened, "fc2@0")
    facts, thumbs = neighbours.mistakes(index, "sure", 1000)
    truth = torch.from_numpy(np.array(index.items.labels))
    wrong = whole["answer"].argmax(1) != truth
    assert facts["wrong"] == int(wrong.sum()) == len(facts["items"]) == len(thumbs)
    shares = [item["p"] for item in facts["items"]]
    assert shares == sorted(shares, reverse=True)
    assert all(item["label"] != item["pred"] for item in facts["items"])
    pairs, _ = neighbours.mistakes(index, "pairs", 1000)
    assert sum(pair["count"] for pair in pairs["pairs"]) <= facts["wrong"]
    first = pairs["pairs"][0] if pairs["pairs"] else None
    if first:
        assert (pairs["items"][0]["label"], pairs["items"][0]["pred"]) == (
            first["truth"],
            first["answer"],
        )


def test_the_plane_keeps_the_first_two_components(opened: Any, whole: Any):
    found = neighbours.scatter(indexed(opened, "fc2@0"), "pca")
    x = whole["fc2"].double().numpy()
    x = x - x.mean(0)
    scores = np.linalg.svd(x, full_matrices=False)[1] ** 2
    assert found["kept"][0] == pytest.approx(scores[:2].sum() / scores.sum(), abs=1e-4)
    np.testing.assert_allclose(found["points"].var(0), scores[:2] / len(x), rtol=1e-3)
    assert (found["answers"] == whole["answer"].argmax(1).numpy()).all()


def test_pictures_of_several_sizes_stand_in_one_array():
    made = neighbours.stacked(
        [np.full((2, 4, 3), 9, np.uint8), np.full((200, 100, 3), 7, np.uint8)], 64
    )
    assert made.shape == (2, 64, 32, 3)
    assert (made[1] == 7).all()
    assert (made[0] == 9).sum() == 2 * 4 * 3


def test_a_layer_without_index_says_so_and_a_job_makes_one(page: Any, opened: Any):
    session = page.session
    request = Request("GET", "x", {"net": opened.id}, {"layer": "fc1@0"})
    assert b'"ready": false' in neighbours._state(session, request).body
    with pytest.raises(Refusal, match="no index"):
        neighbours._scatter(session, request)
    job = session.job(neighbours.JOBS["index"](session, {"net": opened.id, "layer": "fc1@0"}))
    told = [name for name, _ in job.follow() if name != "still"]
    assert set(told[:-2]) == {"part"}
    assert told[-2:] == ["index", "done"]
    assert b'"ready": true' in neighbours._state(session, request).body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"net": "nothing", "layer": "a@0"}, 404),
        ({"layer": "a@0"}, 400),
        ({"net": 1, "layer": "fc1@0"}, 400),
    ],
)
def test_wrong_jobs_are_refused(page: Any, body: dict[str, Any], status: int):
    with pytest.raises(Refusal) as caught:
        neighbours.JOBS["index"](page.session, body)
    assert caught.value.status == status


def test_a_net_without_data_has_no_neighbours():
    with launch.begun([nn.Sequential(nn.Conv2d(1, 2, 3))], shape=(1, 8, 8)) as one:
        (net,) = one.session.nets.values()
        with pytest.raises(Refusal, match="without data"):
            layer_index.items_of(net)


def test_items_in_memory_have_neighbours_too():
    x = torch.randn(30, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    labels = [i % 3 for i in range(30)]
    with launch.begun([net], data=(x, labels), classes=["a", "b", "<img>"]) as one:
        (opened,) = one.session.nets.values()
        index = indexed(opened, "1@0")
        facts, _ = neighbours.near(index, index.features[4], 3)
        assert facts["items"][0] == facts["items"][0] | {"index": 4, "label": "b"}
        assert (facts["items"][0]["d"], facts["n"]) == (0.0, 30)


def test_the_net_is_left_as_it_was(opened: Any):
    before = {name: t.clone() for name, t in Run.load(trained()).net.state_dict().items()}
    indexed(opened, "conv2@0")
    assert not opened.net.training
    assert all(not m._forward_hooks for m in opened.net.modules())
    assert all(torch.equal(before[name], t) for name, t in opened.net.state_dict().items())
