"""Losses against NumPy written from their formulas, their gradients, and the facts they are chosen for."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from striate import losses
from striate.errors import ArgumentError, ShapeError

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(5, 4, dtype=torch.float64, generator=GENERATOR)
LABELS = torch.tensor([0, 3, 1, 1, 2])
ANSWER = torch.randn(2, 3, 6, 7, dtype=torch.float64, generator=GENERATOR)
TARGET = torch.rand(2, 3, 6, 7, dtype=torch.float64, generator=GENERATOR)
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 3.0])


def logistic(x):
    return 1 / (1 + np.exp(-x))


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def sobel(x):
    """Both derivatives of every channel, borders repeated."""
    planes = x.reshape(-1, *x.shape[2:])
    return [
        np.stack([ndimage.sobel(plane, axis=axis, mode="nearest") for plane in planes])
        for axis in (0, 1)
    ]


def overlap(a, t):
    return (a * t).sum((2, 3)), a.sum((2, 3)), t.sum((2, 3))


def np_iou(a, t):
    both, single, other = overlap(logistic(a), t)
    return 1 - (both / (single + other - both)).mean()


def np_dice(a, t):
    both, single, other = overlap(logistic(a), t)
    return 1 - (2 * both / (single + other)).mean()


def np_huber(a, t, delta=1.0):
    off = np.abs(a - t)
    return np.where(off < delta, off**2 / 2, delta * (off - delta / 2)).mean()


def np_bce(a, t):
    p = logistic(a)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


def np_edge(a, t):
    return sum(((x - y) ** 2).mean() for x, y in zip(sobel(a), sobel(t), strict=True))


TWINS = {
    "l1": lambda a, t: np.abs(a - t).mean(),
    "l2": lambda a, t: ((a - t) ** 2).mean(),
    "l2(logits=true)": lambda a, t: ((logistic(a) - t) ** 2).mean(),
    "huber": np_huber,
    "huber(delta=0.3)": lambda a, t: np_huber(a, t, 0.3),
    "bce": np_bce,
    "iou": np_iou,
    "dice": np_dice,
    "edge": np_edge,
    "0.5*dice+bce": lambda a, t: 0.5 * np_dice(a, t) + np_bce(a, t),
}


@pytest.mark.parametrize("spelled", TWINS)
def test_losses_of_maps_are_their_formulas(spelled):
    got = losses.read(spelled)(ANSWER, TARGET).item()
    assert got == pytest.approx(TWINS[spelled](ANSWER.numpy(), TARGET.numpy()), rel=1e-5)


def np_cross_entropy(x, y, weights=None, smoothing=0.0):
    log_p = log_softmax(x)
    each = -(1 - smoothing) * log_p[np.arange(len(y)), y] - smoothing * log_p.mean(1)
    return ((weights[y] if weights is not None else 1) * each).mean()


def np_focal(x, y, gamma=2.0):
    log_p = log_softmax(x)[np.arange(len(y)), y]
    return (-((1 - np.exp(log_p)) ** gamma) * log_p).mean()


def np_margin(x, y):
    total = 0.0
    for scores, label in zip(x, y, strict=True):
        for k, score in enumerate(scores):
            here = max(0, 0.9 - score) ** 2 if k == label else 0.5 * max(0, score - 0.1) ** 2
            total += here
    return total / len(y)


@pytest.mark.parametrize(
    ("loss", "twin"),
    [
        (losses.read("cross_entropy"), np_cross_entropy),
        (
            losses.read("cross_entropy").within(smoothing=0.1),
            lambda x, y: np_cross_entropy(x, y, smoothing=0.1),
        ),
        (
            losses.read("cross_entropy").within(class_weights=WEIGHTS, smoothing=0.1),
            lambda x, y: np_cross_entropy(x, y, WEIGHTS.numpy(), 0.1),
        ),
        (losses.read("focal"), np_focal),
        (losses.read("focal(gamma=0.5)"), lambda x, y: np_focal(x, y, 0.5)),
        (losses.read("margin"), np_margin),
        (
            losses.read("2*focal+margin").within(smoothing=0.5),
            lambda x, y: 2 * np_focal(x, y) + np_margin(x, y),
        ),
    ],
)
def test_losses_of_labels_are_their_formulas(loss, twin):
    assert loss(LOGITS, LABELS).item() == pytest.approx(
        twin(LOGITS.numpy(), LABELS.numpy()), rel=1e-6
    )


@pytest.mark.parametrize(
    "context", [{}, {"smoothing": 0.1}, {"smoothing": 0.1, "class_weights": WEIGHTS}]
)
def test_cross_entropy_of_shares_is_the_mixture_of_that_of_labels(context):
    """As mix-up's own code has it: share * loss(a) + (1 - share) * loss(b)."""
    other = (LABELS + 1) % LOGITS.shape[1]
    loss = losses.read("cross_entropy").within(**context)
    expected = 0.3 * loss(LOGITS, LABELS) + 0.7 * loss(LOGITS, other)
    hot = torch.eye(LOGITS.shape[1])
    torch.testing.assert_close(loss(LOGITS, 0.3 * hot[LABELS] + 0.7 * hot[other]), expected)


@pytest.mark.parametrize("name", losses.MAPS)
def test_gradients_of_losses_of_maps(name):
    small = ANSWER[:, :2, :3, :3].clone().requires_grad_(True)
    target = TARGET[:, :2, :3, :3]
    loss = losses.read(name)
    if name == "bce":  # computed in float32 whatever comes in
        loss(small, target).backward()
        expected = (small.detach().sigmoid() - target) / small.numel()
        torch.testing.assert_close(small.grad, expected, rtol=1e-5, atol=1e-7)
        return
    assert torch.autograd.gradcheck(lambda x: loss(x, target), small)


@pytest.mark.parametrize("name", ["margin"])
def test_gradients_of_losses_of_labels(name):
    x = LOGITS.clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: losses.read(name)(x, LABELS), x)


def test_the_gradient_of_focal_is_that_of_its_formula():
    x = LOGITS.clone().requires_grad_(True)
    losses.focal(x, LABELS).backward()
    assert x.grad is not None
    moved = LOGITS.numpy().copy()
    moved[2, 1] += 1e-6
    slope = (np_focal(moved, LABELS.numpy()) - np_focal(LOGITS.numpy(), LABELS.numpy())) / 1e-6
    assert x.grad[2, 1].item() == pytest.approx(slope, rel=1e-3)


def test_focal_without_focus_is_cross_entropy():
    torch.testing.assert_close(
        losses.focal(LOGITS, LABELS, gamma=0.0), losses.cross_entropy(LOGITS, LABELS)
    )


def test_two_masks_that_overlap_by_half_have_an_iou_of_a_third():
    a, b = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    a[..., 0:2, :], b[..., 1:3, :] = 1, 1
    assert 1 - losses.iou(a, b, logits=False).item() == pytest.approx(1 / 3)
    assert 1 - losses.dice(a, b, logits=False).item() == pytest.approx(1 / 2)


def test_two_empty_masks_agree_and_an_empty_answer_does_not():
    empty, full = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    for loss in (losses.iou, losses.dice):
        assert loss(empty, empty, logits=False).item() == pytest.approx(0)
        assert loss(empty, full, logits=False).item() == pytest.approx(1, abs=1e-6)


def test_at_a_black_white_border_the_middle_costs_l2_a_quarter_of_the_wrong_extreme():
    black, grey, white = (torch.full((1, 1, 1, 1), value) for value in (0.0, 0.5, 1.0))
    assert losses.l2(grey, white) == losses.l2(black, white) / 4
    # so where black and white are equally likely the middle is the best single answer, and it is grey
    risks = {v: float((v**2 + (1 - v) ** 2) / 2) for v in (0.0, 0.25, 0.5, 0.75, 1.0)}
    assert min(risks, key=risks.__getitem__) == 0.5


def test_the_edge_loss_sees_no_constant_and_one_direction_alone():
    assert losses.edge(TARGET + 3, TARGET).item() == pytest.approx(0, abs=1e-20)
    stripes = torch.zeros(1, 1, 6, 6)
    stripes[..., ::2] = 1  # vertical edges only
    flat = torch.zeros_like(stripes)
    assert losses.edge(stripes, flat, kernel="edges_horizontal") == 0
    assert losses.edge(stripes, flat, kernel="edges_vertical") > 0


def test_perceptual_loss_is_zero_for_what_the_layer_cannot_tell_apart():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)).double()
    loss = losses.Perceptual(net, "2")
    x = ANSWER.clone().requires_grad_(True)
    loss(x, TARGET).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not net[2]._forward_hooks
    assert loss(TARGET, TARGET) == 0
    by_hand = (net(ANSWER) - net(TARGET)).square().mean()
    torch.testing.assert_close(loss(ANSWER, TARGET), by_hand)
    with pytest.raises(ArgumentError, match="the net has no layer 'conv'; there are: 0, 1, 2"):
        losses.Perceptual(net, "conv")(ANSWER, TARGET)


def test_side_classifiers_count_three_tenths():
    main, side = LOGITS, LOGITS.flip(1)
    total = losses.auxiliary([main, side, side], LABELS, losses.cross_entropy)
    parts = [losses.cross_entropy(x, LABELS) for x in (main, side)]
    torch.testing.assert_close(total, parts[0] + 0.6 * parts[1])


def test_the_parts_of_a_sum_are_known_and_add_up():
    total, parts = losses.read("0.5*dice + bce + 2*edge(kernel=laplacian)").measured(ANSWER, TARGET)
    assert list(parts) == ["dice", "bce", "edge"]
    torch.testing.assert_close(sum(parts.values()), total)
    torch.testing.assert_close(parts["dice"], 0.5 * losses.dice(ANSWER, TARGET))
    _, own = losses.weighted(near=(2.0, losses.l1), far=(1.0, losses.l2)).measured(ANSWER, TARGET)
    assert list(own) == ["near", "far"]
    assert losses.read("l1").measured(ANSWER, TARGET)[1] == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dise", "loss=dise: no loss 'dise'; did you mean dice? There are: "),
        (
            "0.5*",
            "loss=0.5*: '0.5*' is no term; expected a name such as cross_entropy, with a factor",
        ),
        ("dice+", "loss=dice+: '' is no term; "),
        ("0*dice", "loss=0*dice: counts nothing, so that nothing would be learned"),
        ("0*dice+0.0*bce", "loss=0*dice+0.0*bce: counts nothing"),
        ("1e999*dice", "loss=1e999*dice: the factor 1e999 is too large for a number"),
        ("l2+1e400*perceptual:vgg16=random@x", "the factor 1e400 is too large for a number"),
        ("focal(gama=2)", "loss=focal(gama=2): focal has no option 'gama'; did you mean gamma?"),
        ("focal(gamma=x)", "loss=focal(gamma=x): gamma=x: expected a number"),
        ("focal(gamma=-1)", "loss=focal(gamma=-1): gamma=-1: expected a number from 0 up"),
        ("l1+huber(delta=inf)", "delta=inf: expected a number from 0 up"),
        ("grid(box=nan)", "box=nan: expected a number from 0 up"),
        ("iou(logits=1)", "loss=iou(logits=1): logits=1: expected true or false"),
        ("bce(a=1)", "loss=bce(a=1): bce has no option 'a'"),
        ("__import__('os')", "loss=__import__('os'): no loss '__import__'; "),
        ("cross_entropy(smoothing=1)", "cross_entropy has no option 'smoothing'"),
    ],
)
def test_what_cannot_be_read_is_named(text, message):
    with pytest.raises(ArgumentError) as caught:
        losses.read(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.plain
def test_shapes_that_differ_are_refused():
    with pytest.raises(ShapeError) as caught:
        losses.l2(ANSWER, LABELS)
    assert str(caught.value) == (
        "l2: got an answer [2, 3, 6, 7] and a target [5], expected two of one shape; "
        "of labels there are cross_entropy, focal, margin"
    )
    with pytest.raises(ArgumentError, match="huber: got delta=0, expected more than 0"):
        losses.huber(ANSWER, TARGET, delta=0)


def test_the_mean_of_parts_is_the_loss_of_the_whole():
    for name in losses.MAPS:
        loss = losses.read(name)
        parts = (loss(ANSWER[:1], TARGET[:1]) + loss(ANSWER[1:], TARGET[1:])) / 2
        torch.testing.assert_close(parts, loss(ANSWER, TARGET))


@pytest.mark.parametrize(
    ("text", "weights", "names"),
    [
        ("perceptual:vgg16=/a+b/w.pt@features.8", "/a+b/w.pt", ["perceptual"]),
        (
            "l2+0.5*perceptual:vgg16=/a+b@2/c+d.pt@conv+1e-3*edge",
            "/a+b@2/c+d.pt",
            ["l2", "perceptual", "edge"],
        ),
        (
            "perceptual:vgg16=a+b.pt@conv+perceptual:vgg11=random@conv",
            "a+b.pt",
            ["perceptual", "perceptual"],
        ),
    ],
)
def test_a_path_of_weights_may_hold_a_plus(text, weights, names):
    found = losses.read(text)
    assert found.looks[0].weights == weights
    assert [term.name for term in found.terms] == names


@pytest.mark.parametrize(
    "text", ["perceptual:vgg16=w.pt+l2", "perceptual:vgg16=w.pt+perceptual:vgg16=v.pt@conv"]
)
def test_a_forgotten_layer_is_said(text):
    with pytest.raises(ArgumentError, match="compares what a layer gives"):
        losses.read(text)


def test_the_layer_of_a_perceptual_loss_stands_behind_the_last_at_sign():
    (look,) = losses.read("0.5*perceptual:vgg16=/data/run@2/w=1.pt@features.15").looks
    assert (look.net, look.weights, look.layer) == ("vgg16", "/data/run@2/w=1.pt", "features.15")
