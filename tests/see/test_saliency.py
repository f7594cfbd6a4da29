"""Saliency: every number against a plain twin, planted signals, tests of maps, the net as before, bad input."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.errors import ArgumentError, NumericError, ShapeError
from striate.models import catalog
from striate.see import saliency
from striate.see.attribution import checks, gradients, methods, perturbation
from striate.see.attribution.methods import METHODS
from striate.see.attribution.subject import MIB, Subject
from twins import attribution as twin

CAMS = [name for name, way in METHODS.items() if way.at_layer]
QUICK = {
    "rise": "rise:40",
    "smoothgrad": "smoothgrad:3",
    "integrated": "integrated:6",
    "score-cam": "score-cam:4",
}
ALL = [QUICK.get(name, name) for name in METHODS]


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def filled(net, seed=0) -> Any:
    """Weights that do not come from the state of the process."""
    generator = draw(seed)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=generator).to(p) * (0.4 if p.ndim > 1 else 0.1)
    return net.eval()


def small(axes=2, channels=1, act: Any = nn.ReLU) -> Any:
    conv, pool = (
        (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1],
        (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1],
    )
    gap = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]
    before = nn.Sequential(
        conv(channels, 4, 3, padding=1), act(), pool(2), conv(4, 6, 3, padding=1), act()
    )
    after = nn.Sequential(gap(2), nn.Flatten(), nn.Linear(6 * 2**axes, 3))
    return filled(nn.Sequential(before, after))


def items(n=2, axes=2, channels=1, side=8):
    return torch.randn(n, channels, *[side] * axes, generator=draw(1))


def picked(net, found):
    """The explained number of one item, as a function of it."""
    at = int(found.words[0].split()[-1])
    return lambda x: net(x)[0, at]


# ------------------------------------------------------------------------------- the numbers themselves


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh])
def test_gradient_is_the_numerical_one(axes, act):
    net, x = small(axes, act=act).double(), items(1, axes, side=4).double()
    found = saliency(net, x, method="gradient")
    wanted = twin.numeric_gradient(picked(net, found), x)
    assert np.allclose(found.values[0], wanted[0].abs().amax(0), atol=1e-6)
    product = saliency(net, x, method="gradient-x-input")
    assert np.allclose(product.values[0], (wanted * x)[0].sum(0), atol=1e-6)


NETS = [
    ("lenet5", (1, 28, 28)),
    ("resnet20_cifar", (3, 32, 32)),
    ("allcnn_cifar", (3, 32, 32)),
]


@pytest.mark.parametrize(("name", "shape"), NETS)
def test_methods_are_their_plain_twins_on_nets_of_the_catalogue(name, shape):
    net = catalog.build(name, generator=draw(2)).eval()
    x = torch.randn(1, *shape, generator=draw(3))
    found = saliency(net, x, method="integrated:4")
    score = picked(net, found)
    wanted = twin.integrated(score, x, 4)[0].sum(0)
    assert np.allclose(
        found.values[0], wanted.detach(), atol=1e-5 * float(wanted.abs().max()) + 1e-9
    )
    found = saliency(net, x, method="occlusion:9")
    with torch.no_grad():
        wanted = twin.occlusion(score, x, (9, 9), (5, 5))
    assert np.allclose(found.values[0], wanted, atol=1e-4 * float(wanted.abs().max()) + 1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "layer-cam", "eigen-cam"])
def test_maps_of_a_layer_are_their_plain_twins(axes, method):
    net, x = small(axes, channels=2), items(1, axes, channels=2)
    found = saliency(net, x, method=method, layer="0")
    at = int(found.words[0].split()[-1])
    maps, gradient = twin.maps_and_gradient(net[0], net[1], lambda y: y[0, at], x)
    rule = getattr(twin, method.replace("++", "_plus").replace("-", "_"))
    wanted = rule(maps) if method == "eigen-cam" else rule(maps, gradient)
    assert float(wanted.max()) > 0
    assert np.allclose(found.cells[0], wanted, rtol=1e-4, atol=1e-6)


def test_rise_is_its_plain_twin_and_score_cam_its_definition():
    net, x = small(), items(1)
    found = saliency(net, x, method="rise:30")
    masks = perturbation.Masks((8, 8), 30, draw(methods.SEED)).at(torch.arange(30))
    at = int(found.words[0].split()[-1])
    with torch.no_grad():
        wanted = twin.rise(lambda y: net(y).softmax(1)[0, at], x, masks, perturbation.SEEN)
    assert np.allclose(found.values[0], wanted, atol=1e-5)
    found = saliency(net, x, method="score-cam", layer="0")
    with torch.no_grad():
        maps = net[0](x)
        blank = net(torch.zeros_like(x))[0, at]
        gains = []
        for k in range(maps.shape[1]):
            low, high = maps[0, k].min(), maps[0, k].max()
            mask = (maps[:, k : k + 1] - low) / (high - low).clamp_min(1e-12)
            wide = F.interpolate(mask, (8, 8), mode="bilinear", align_corners=False)
            gains.append(net(x * wide)[0, at] - blank)
        weights = torch.stack(gains).softmax(0)
        wanted = (weights[:, None, None] * maps[0]).sum(0).relu()
    assert np.allclose(found.cells[0], wanted, atol=1e-5)


def test_masks_leave_half_and_are_linear_between_cells():
    masks = perturbation.Masks((28, 28), 400, draw()).at(torch.arange(400))
    assert masks.shape == (400, 1, 28, 28)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    assert abs(float(masks.mean()) - 0.5) < 0.01
    assert float((masks[..., 1:] - masks[..., :-1]).abs().max()) <= 1 / 4 + 1e-6


def test_smoothgrad_is_the_mean_of_gradients_at_noisy_items():
    net, x = small(), items(1)
    found = saliency(net, x, method="smoothgrad:5")
    score, generator, total = picked(net, found), draw(methods.SEED), torch.zeros_like(x)
    for _ in range(5):
        noise = torch.randn(x.shape[1:], generator=generator)
        at = (x + gradients.NOISE * (x.max() - x.min()) * noise).requires_grad_()
        total += torch.autograd.grad(score(at), at)[0] / 5
    assert np.allclose(found.values[0], total[0].abs().amax(0), atol=1e-6)


@pytest.mark.parametrize("spelling", ["module", "in place", "F", "method", "torch_"])
def test_guided_backpropagation_is_its_definition_in_every_spelling(spelling):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)
            self.act = nn.ReLU(inplace=spelling == "in place")

        def rectified(self, x):
            ways = {"F": F.relu, "method": lambda y: y.relu(), "torch_": torch.relu_}
            return ways.get(spelling, self.act)(x)

        def forward(self, x):
            return self.b(self.rectified(self.a(x))).sum((2, 3))

    net, x = filled(Two()), items(1)
    found = saliency(net, x, method="guided", target=1)
    with torch.no_grad():
        inner = net.a(x)
        at_inner = F.conv_transpose2d(
            torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4), net.b.weight
        )
        kept = at_inner.clamp(min=0) * (inner > 0)
        wanted = F.conv_transpose2d(kept, net.a.weight)
    assert np.allclose(found.values[0], wanted[0].abs().amax(0), atol=1e-5)
    assert any("Adebayo" in note for note in found.notes)


def test_integrated_gradients_add_up_to_the_number():
    net, x = small(act=nn.Tanh), items(2)
    found = saliency(net, x, method="integrated:50")
    with torch.no_grad():
        blank = net(torch.zeros_like(x[:1]))[0]
    for i, words in enumerate(found.words):
        wanted = found.scores[i] - float(blank[int(words.split()[-1])])
        assert abs(found.values[i].sum() - wanted) < 1e-3 * abs(wanted)


# ------------------------------------------------------------------------------------ planted signals


class Corner(nn.Module):
    """Reads the upper left quarter of each side alone: 1/16 of the picture."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(x[..., :8, :8]).relu().mean((2, 3)))


@pytest.mark.parametrize(
    "method",
    [
        "gradient-x-input",
        "integrated",
        "occlusion:2",
        "gradient",
        "smoothgrad",
        "guided",
        "grad-cam",
    ],
)
def test_what_a_net_uses_gets_the_mass(method):
    net, x = filled(Corner()), items(3, side=32) + 1
    found = saliency(net, x, method=method)
    mass = np.abs(found.values)
    share = mass[:, :8, :8].sum((1, 2)) / mass.sum((1, 2))
    assert (share > 0.8).all(), share


# --------------------------------------------------------------------------------------- tests of maps


@pytest.fixture(scope="module")
def learned():
    """A net that knows scikit-learn's digits, and some of them."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None]
    x = (x - x.mean()) / x.std()
    y = torch.tensor(data.target)
    net = filled(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(64, 10),
        )
    )  # fmt: skip
    for p in net.parameters():
        p.data *= 0.3
    optimizer, generator = torch.optim.Adam(net.parameters(), 0.003), draw(5)
    for _ in range(250):
        some = torch.randint(0, 1500, (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(net(x[some]), y[some]).backward()
        optimizer.step()
    assert float((net(x[1500:]).argmax(1) == y[1500:]).float().mean()) > 0.85
    return net.eval(), x[1500:1516]


def checks_of(net, x, method) -> Any:
    return saliency(net, x, method=method, check=True).checks


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", ["gradient", "smoothgrad:9", "occlusion:2", "grad-cam", "layer-cam"]
)
def test_random_weights_give_another_map(learned, method):
    net, x = learned
    found = saliency(net, x, method=method, check=True)
    assert found.checks is not None
    assert found.checks.changed, found.checks.randomised
    assert "depends on what the net has learned" in found.as_text()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "integrated:8", "occlusion:2"])
def test_hiding_what_a_map_points_to_takes_the_answer_away(learned, method):
    net, x = learned
    found = checks_of(net, x, method)
    assert found.better == checks.RANDOM
    assert found.probability


@pytest.mark.slow
def test_guided_backpropagation_hardly_notices_random_last_layers(learned):
    """The known failure (Adebayo et al. 2018, figure 2), beside the gradient on the same net."""
    net, x = learned
    guided = checks_of(net, x, "guided").randomised[0].correlation
    plain = checks_of(net, x, "gradient").randomised[0].correlation
    assert guided > 0.5
    assert guided > plain + 0.1


def test_the_choice_is_the_layer_with_the_largest_gain(learned):
    net, x = learned
    found = saliency(net, x[:4], choose=True)
    assert len(found.tried) >= 2
    assert found.layer == max(found.tried, key=lambda tried: tried.insertion - tried.deletion).layer
    assert f"{found.layer} was chosen" in found.as_text()
    assert {row["layer"] for row in found.as_dict()["tried"]} == {t.layer for t in found.tried}


def test_deletion_and_insertion_of_a_map_that_is_known():
    """A net that adds up the picture: hiding in order of value is the steepest way down."""

    class Sum(nn.Module):
        def forward(self, x):
            return x.sum((1, 2, 3))

    x = torch.arange(16.0).view(1, 1, 4, 4)
    subject = Subject(Sum(), x, MIB)
    subject.settle()
    deletion, insertion = checks.areas(subject, x[:, 0], lambda maps: maps)
    ordered = np.arange(15, -1, -1)
    shown = np.concatenate([[0], np.cumsum(ordered)])
    assert insertion.value == pytest.approx(np.trapezoid(shown, dx=1 / 16))
    assert deletion.value == pytest.approx(np.trapezoid(120 - shown, dx=1 / 16))
    assert all(insertion.value > r for r in insertion.random)
    assert all(deletion.value < r for r in deletion.random)


def test_equal_values_are_hidden_in_random_order():
    ranks = checks._ranks(torch.zeros(1, 4, 4), draw())
    assert sorted(ranks.flatten().tolist()) == list(range(16))
    assert ranks.flatten().tolist() != list(range(16))


def test_rank_correlation_of_known_maps():
    a = torch.arange(9.0).view(1, 3, 3)
    assert checks.rank_correlation(a, a**3) == pytest.approx(1)
    assert checks.rank_correlation(a, 8 - a) == pytest.approx(-1)
    assert checks.rank_correlation(a, torch.ones(1, 3, 3)) is None


# ------------------------------------------------------------------------------------ layers and places


def test_the_last_layer_with_places_is_taken_and_the_answer_left_out():
    assert saliency(small(), items()).layer == "1.0"
    gap = filled(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    )
    assert saliency(gap, items()).layer == "1"
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 1)
    )
    found = saliency(filled(net), items())
    assert found.layer == "1", "neither the maps that are the answer nor a layer that passes on"


def test_resolution_is_said_and_cells_lie_where_they_read():
    net = filled(
        nn.Sequential(nn.Conv2d(1, 2, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(50, 2))
    )
    found = saliency(net, items(1, side=21))
    fine = found.resolution
    assert (fine.cells, fine.step, fine.reads, fine.first) == ((5, 5), (4, 4), (5, 5), (2, 2))
    assert "1 gives 5x5 cells, 4x4 places apart; each reads 5x5 places of 21x21" in found.as_text()
    # at the middle of what a cell reads stands its own value; beyond the outer ones nothing is made up
    assert np.allclose(found.values[0][2::4, 2::4], found.cells[0])
    assert np.allclose(found.values[0][0], found.values[0][2])
    assert np.allclose(found.values[0][2, 4], found.cells[0][0, :2].mean())


def test_a_field_without_bound_is_not_guessed():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Linear(3, 2)

        def forward(self, x):
            y = self.conv(x)
            return self.fc(self.act(y * y.mean((2, 3), keepdim=True)).mean((2, 3)))

    found = saliency(filled(Gated()), items())
    assert found.layer == "act"
    assert found.resolution.reads is None
    assert "no bound" in found.as_text()


# --------------------------------------------------------------------------------------------- any net


class Odd(nn.Module):
    """Works in place from the first layer on, calls one module twice, gives a dictionary."""

    def __init__(self):
        super().__init__()
        self.first, self.conv, self.fc = (
            nn.ReLU(inplace=True),
            nn.Conv2d(1, 1, 3, padding=1),
            nn.Linear(1, 3),
        )

    def forward(self, x):
        y = F.relu_(self.conv(self.first(x)))
        y = self.conv(y).add_(1)
        return {"names": ["a"], "logits": (self.fc(y.mean((2, 3))),)}


@pytest.mark.parametrize("method", ALL)
def test_in_place_shared_and_dictionaries(method):
    net, x = filled(Odd()), items()
    before = x.clone()
    found = saliency(net, x, method=method)
    assert torch.equal(x, before)
    assert found.values.shape == (2, 8, 8)
    assert np.isfinite(found.values).all()


def test_a_later_in_place_layer_does_not_change_the_maps():
    net = filled(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(108, 2))
    )
    x = items(1)
    found = saliency(net, x, layer="0", target=0)
    maps, gradient = twin.maps_and_gradient(
        net[0], nn.Sequential(nn.ReLU(), *net[2:]), lambda y: y[0, 0], x
    )
    assert np.allclose(found.cells[0], twin.grad_cam(maps, gradient), atol=1e-6)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("axes", [1, 3])
def test_series_and_volumes(method, axes):
    found = saliency(small(axes), items(2, axes), method=method)
    assert found.values.shape == (2, *[8] * axes)
    assert found.picture().width > 400
    json.dumps(found.as_dict())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", ["layer-cam", "gradient-x-input", "integrated:4", "rise:20"])
def test_half_precision(kind, method):
    net, x = small(), items()
    layer = "0" if method == "layer-cam" else None
    exact = saliency(net, x, method=method, target=0, layer=layer).values
    found = saliency(small().to(kind), x, method=method, target=0, layer=layer).values
    assert np.ptp(exact) > 0
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.95


def test_masks_boxes_and_numbers_of_plain_nets():
    maps = filled(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 1)))
    x = items(1)
    found = saliency(maps, x, method="gradient-x-input", target=1)
    answer = maps(x).detach()
    region = answer.argmax(1) == 1
    assert found.scores[0] == pytest.approx(float(answer[:, 1][region].sum()), rel=1e-5)
    assert f"the {int(region.sum())} places" in found.words[0]
    value = filled(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    found = saliency(value, x, method="gradient-x-input")
    assert found.words == ("the value that it answers",)
    assert np.allclose(found.values[0], (value[1].weight.view(8, 8) * x[0, 0]).detach())


def test_each_item_has_a_target_of_its_own():
    net, x = small(), items(2)
    both = saliency(net, x, method="gradient", target=[0, 2])
    one = saliency(net, x, method="gradient", target=2)
    assert both.words == ("score of class 0", "score of class 2")
    assert np.allclose(both.values[1], one.values[1])
    assert not np.allclose(both.values[0], one.values[0])


# ------------------------------------------------------------------------------------ the net as before


@pytest.mark.parametrize("method", ALL)
def test_the_net_stays_as_it_was(method):
    net = small().train()
    net[0][1].eval()
    net[1][2].bias.requires_grad_(False)
    modes = [m.training for m in net.modules()]
    wanted = [p.requires_grad for p in net.parameters()]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    saliency(net, items(), method=method, check=method == "gradient")
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == wanted
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in net.modules())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()


class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.runs = nn.Conv2d(1, 2, 3), 0

    def forward(self, x):
        self.runs += 1
        if self.runs > 1:
            raise KeyError("broken")
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize("method", ["grad-cam", "rise:9"])
def test_the_net_stays_after_an_error(method):
    net = Breaks().train()
    with pytest.raises(KeyError):
        saliency(net, items(), method=method)
    assert net.training
    assert net.conv.training
    assert all(not m._forward_hooks for m in net.modules())
    assert torch.is_grad_enabled()


def test_the_same_call_gives_the_same_map_whatever_the_batches():
    net, x = small(), items(3)
    for method in ("rise:40", "smoothgrad:5", "occlusion:2", "score-cam"):
        wide = saliency(net, x, method=method).values
        narrow = saliency(net, x, method=method, memory=1).values
        assert np.allclose(wide, narrow, atol=1e-5), method


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layer": "0.9"}, "no layer '0.9'; did you mean"),
        ({"layer": "1.2"}, "gives no maps of more than one place"),
        ({"target": 3}, "target=3: the net answers 3, numbered 0 to 2"),
        ({"target": "cat"}, "this net names no classes"),
        ({"target": [0]}, "got 1 for 2 items"),
        ({"method": "gradcam"}, "no such method; did you mean grad-cam"),
        ({"method": "rise:0"}, "expected the number of masks, such as rise:1000"),
        ({"method": "gradient:3"}, "gradient has no number"),
        ({"method": "rise", "layer": "0"}, "rise is made at no layer"),
        ({"method": "rise", "choose": True}, "rise is made at no layer"),
        ({"layer": "0", "choose": True}, "leave one out"),
        ({"memory": 0}, "memory=0: expected at least 1 MiB"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(ArgumentError) as error:
        saliency(small(), items(), **settings)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_items_that_cannot_be():
    with pytest.raises(ShapeError, match=r"does not take items of 2x8x8: .*give items of the size"):
        saliency(small(), items(channels=2))
    with pytest.raises(ShapeError, match="expected \\(items, channels"):
        saliency(small(), torch.zeros(3, 4))
    with pytest.raises(ShapeError, match="got shape \\(0, 1, 8, 8\\)"):
        saliency(small(), torch.zeros(0, 1, 8, 8))


def test_a_net_without_maps():
    net = filled(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 2)))
    with pytest.raises(
        ArgumentError,
        match="no layer gives maps of more than one place, which grad-cam needs; gradient-x-input",
    ):
        saliency(net, items())
    assert saliency(net, items(), method="integrated").values.shape == (2, 8, 8)


def test_weights_that_are_no_numbers_are_named():
    net = small()
    net[0][3].bias.data[1] = float("nan")
    with pytest.raises(NumericError, match=r"weights 0\.3\.bias hold NaN"):
        saliency(net, items())
    with pytest.raises(NumericError, match="the items hold NaN"):
        saliency(small(), items() * float("nan"))


def test_an_answer_without_gradient():
    class Cut(nn.Module):
        def forward(self, x):
            return x.detach().mean((2, 3)).expand(-1, 2)

    with pytest.raises(ArgumentError, match="has no gradient here; occlusion and rise need none"):
        saliency(Cut(), items(), method="gradient")
    assert saliency(Cut(), items(), method="occlusion").values.shape == (2, 8, 8)


def test_a_memory_that_holds_no_item_says_how_much_one_takes():
    net = filled(
        nn.Sequential(
            nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
    )
    with pytest.raises(ArgumentError, match=r"memory=1: one item takes up to \d+ MiB here"):
        saliency(net, torch.zeros(1, 1, 128, 128), memory=1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradient", "grad-cam", "integrated:3", "occlusion:32"])
def test_the_peak_stays_within_the_memory(method):
    from torch.profiler import ProfilerActivity, profile

    conv = nn.Conv2d(8, 8, 3, padding=1)
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    net = filled(nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), conv, nn.ReLU(), pooled))
    x = torch.zeros(30, 1, 64, 64) + 0.5
    peaks: list[float] = []
    for memory in (4, 1024):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
            saliency(net, x, method=method, memory=memory)
        kineto: Any = watched.profiler
        events = [e for e in kineto.kineto_results.events() if e.name() == "[memory]"]
        sizes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
        peaks.append(float(np.cumsum(sizes).max()) / MIB)
    assert peaks[0] < 4 + 7 * x.nbytes / MIB, (
        "beside what does not depend on batches: items, sums, maps"
    )
    assert peaks[1] > 1.5 * peaks[0], "more memory is used where it is given"


def test_maps_that_are_zero_say_so():
    net = filled(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 2)))
    net[3].weight.data = -net[3].weight.data.abs()
    assert "zero everywhere for item 0, 1" in saliency(net, items()).as_text()


# --------------------------------------------------------------------------------------------- drawing


@pytest.mark.parametrize(("axes", "channels"), [(1, 1), (1, 9), (2, 1), (2, 3), (2, 2), (3, 1)])
def test_every_kind_of_item_is_drawn(axes, channels):
    found = saliency(small(axes, channels), items(2, axes, channels), method="gradient-x-input")
    for i in range(2):
        sizes = {pixels.shape for pixels in found.panel(i)}
        assert len(sizes) == 1
    page = found.as_html()
    assert page.count("<img") == 2 * 4
    assert "part of the score" in page
    assert "score of class" in page
    said = found.as_text()
    assert ("are drawn" in said or "is drawn" in said) == (axes == 3 or channels not in (1, 3))


def test_words_of_a_page_are_escaped():
    found = saliency(small(), items())
    object.__setattr__(found, "words", ("<script>", "b"))
    assert "<script>" not in found.as_html()
