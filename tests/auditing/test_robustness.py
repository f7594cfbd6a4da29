"""Changes, attacks and confidences: known nets, definitions, coverage by simulation."""

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.auditing.attacks import Attack, attacked, noise, smallest
from striate.auditing.check import Case, changed
from striate.auditing.checks import equivariance
from striate.auditing.checks.calibration import best_temperature, conformal_threshold, softmax
from striate.runs import answering


def linear(weight):
    return lambda x: (x - 128).flatten(1) @ weight.T


@pytest.fixture
def plane():
    """A linear net of two classes and pictures at a known distance from its border."""
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 12, generator=rng)
    logits = linear(torch.cat([weight, -weight]))
    x = torch.rand(40, 3, 2, 2, generator=rng) * 60 + 98
    labels = logits(x).argmax(1)
    margin = ((x - 128).flatten(1) @ weight.T).abs().flatten()
    return logits, x, labels, weight, margin


def test_the_least_strength_is_the_distance_to_the_border(plane):
    logits, x, labels, weight, margin = plane
    wanted = margin / weight.norm()
    attack = Attack("l2", 200.0, 20)
    found = smallest(logits, x, labels, attack, torch.Generator().manual_seed(0), halvings=14)
    inside = wanted < 60  # beyond, the change meets the ends of grey levels
    assert inside.sum() > 5
    assert torch.allclose(found[inside], wanted[inside], rtol=0.03, atol=0.1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_attacks_stay_within_their_bounds(plane, norm):
    logits, x, labels, _, _ = plane
    attack = Attack(norm, 5.0, 10, 2)
    for found in (
        attacked(logits, x, labels, attack, torch.Generator().manual_seed(0)),
        noise(x, attack, torch.Generator().manual_seed(0)),
    ):
        change = (found - x).flatten(1)
        size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert (size <= 5 + 1e-4).all()
        assert found.min() >= 0
        assert found.max() <= 255


def test_one_step_is_the_sign_of_the_gradient(plane):
    logits, x, labels, _, _ = plane
    found = attacked(logits, x, labels, Attack("linf", 3.0, 1), torch.Generator())
    leaf = x.clone().requires_grad_()
    values = logits(leaf)  # of two classes
    (values.gather(1, 1 - labels[:, None]) - values.gather(1, labels[:, None])).sum().backward()
    assert leaf.grad is not None
    assert torch.allclose(found, (x + 3 * leaf.grad.sign()).clamp(0, 255))


def test_a_net_that_is_sure_hides_no_gradient(plane):
    """Outputs a thousand times as large have a cross-entropy without a gradient; the attack is the same."""
    logits, x, labels, _, _ = plane
    found = [
        attacked(scaled, x, labels, Attack("linf", 10.0, 5), torch.Generator())
        for scaled in (logits, lambda x: 1000 * logits(x))
    ]
    assert torch.allclose(found[0], found[1], atol=1e-3)


def test_an_attack_is_no_weaker_than_noise(plane):
    logits, x, labels, _, _ = plane
    generator = torch.Generator().manual_seed(0)
    right = {
        name: int((logits(made).argmax(1) == labels).sum())
        for name, made in (
            ("noise", noise(x, Attack("linf", 20.0), generator)),
            ("pgd", attacked(logits, x, labels, Attack("linf", 20.0, 10), generator)),
        )
    }
    assert right["pgd"] < right["noise"]


def test_the_audit_of_a_small_run(own):
    found = striate.audit(own, only=["adversarial", "equivariance", "calibration"])
    by = {}
    for each in found.findings:
        by.setdefault(each.check, []).append(each)
    rows = [row for row in by["adversarial"][0].evidence if "attack" in row] or [
        row for each in by["adversarial"] for row in each.evidence if "attack" in row
    ]
    pgd = {row["strength"]: row["accuracy"] for row in rows if row["attack"] == "pgd"}
    assert pgd[0.5] >= pgd[4.0] >= pgd[128.0]
    changes = {
        row["change"]: row
        for each in by["equivariance"]
        for row in each.evidence
        if "change" in row
    }
    assert changes["shift by 1"]["agreement"] >= changes["upside down"]["agreement"] - 0.5
    assert all(0 <= row["agreement"] <= 1 for row in changes.values())
    assert len(by["calibration"]) == 3
    assert not found.failed, "what every net has is a note"


@pytest.mark.parametrize("check", ["adversarial", "equivariance", "corruptions", "loss_sense"])
def test_large_pictures_go_through_the_net_a_few_at_a_time(own, check, monkeypatch):
    monkeypatch.setattr(answering, "VALUES_A_BATCH", 7 * 28 * 28)
    sizes = []
    with own.net.register_forward_pre_hook(lambda _net, given: sizes.append(len(given[0]))):
        (first, *_) = striate.audit(own, only=[check], budget=20).findings
    assert first.severity != "skipped"
    assert max(sizes) <= 7


def test_attacks_are_the_same_a_few_pictures_at_a_time(own, monkeypatch):
    """What is not drawn at random does not depend on how many are attacked together."""
    whole, *_ = striate.audit(own, only=["adversarial"], budget=1e6).findings
    monkeypatch.setattr(answering, "VALUES_A_BATCH", 7 * 28 * 28)
    parts, *_ = striate.audit(own, only=["adversarial"], budget=1e6 + 1).findings
    rows = [
        {
            row["strength"]: row["accuracy"]
            for row in each.evidence
            if row.get("attack") == "one step"
        }
        for each in (whole, parts)
    ]
    assert rows[0] == pytest.approx(rows[1], abs=0.02)


# ---------------------------------------------------------------------------------------- the changes


def test_a_change_of_many_pictures_is_made_part_by_part(monkeypatch):
    stored = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 3), np.uint8)
    seen = []

    def mirrored(x):
        seen.append(len(x))
        return x.flip(3)

    monkeypatch.setattr("striate.auditing.check.VALUES", 4 * 6 * 5 * 3)
    assert np.array_equal(changed(stored, mirrored), stored[:, :, ::-1])
    assert seen == [4, 4, 1]


def test_a_change_that_changes_nothing_leaves_every_answer(own, monkeypatch):
    monkeypatch.setattr(
        equivariance, "CHANGES", (equivariance.Change("shift by 1", lambda x: x),) * 4
    )
    (found, *_) = striate.audit(own, only=["equivariance"]).findings
    assert found.value.value == 1
    assert found.severity == "pass"


def test_changes_do_what_they_say():
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    of = {each.name: each.of for each in equivariance.CHANGES}
    assert torch.equal(of["shift by 2"](x)[..., 2:, 2:], x[..., :4, :4])
    assert torch.equal(of["mirrored"](x), x.flip(3))
    assert torch.equal(of["turned by 90 degrees"](x)[0, 0], torch.rot90(x[0, 0]))
    assert of["contrast by 30 %"](x).std() == pytest.approx(0.7 * x.std().item(), rel=1e-4)
    assert torch.allclose(of["light by 10 %"](x), x * 1.1)
    smooth = torch.linspace(0, 100, 32).expand(1, 1, 32, 32)
    assert torch.allclose(
        of["turned by 5 degrees"](smooth)[..., 16, 16], smooth[..., 16, 16], atol=3
    )
    bigger = of["enlarged by 10 %"](smooth)
    slope = (bigger[0, 0, 16, 20] - bigger[0, 0, 16, 10]) / (
        smooth[0, 0, 16, 20] - smooth[0, 0, 16, 10]
    )
    assert slope == pytest.approx(1 / 1.1, rel=0.02)


def test_maps_of_a_plain_convolution_move_with_the_input(clean, tmp_path):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3, padding=1)
            self.stride = nn.Conv2d(6, 6, 3, stride=3)
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            return self.fc(self.stride(torch.relu(self.conv(x))).mean((2, 3)))

    run = striate.train(clean, net=Plain(), epochs=1, out=tmp_path, plan="default", size=32)
    found = striate.audit(run, only=["equivariance"]).findings
    rows = {row["layer"]: row["left"] for each in found for row in each.evidence if "layer" in row}
    assert rows["conv"] < 1e-6


@pytest.mark.parametrize("most", [3, 7, 50])
def test_a_part_of_the_items_holds_all_classes_evenly(most):
    """Of items that lie in the order of their classes."""
    case = Case(None, data=None, split="test")  # pyright: ignore[reportArgumentType]
    labels = np.repeat(np.arange(3), [4, 60, 60])
    few = case.of_all_classes(labels, most, "a")
    counts = np.bincount(labels[few], minlength=3)
    assert len(np.unique(few)) == most
    assert counts.min() >= min(4, most // 3)
    assert counts[1:].max() - counts[1:].min() <= 1
    assert np.array_equal(few, case.of_all_classes(labels, most, "a"))


def test_strides_are_swapped_under_pictures_of_all_classes(own, monkeypatch):
    monkeypatch.setattr(equivariance, "BLURRED", 9)
    monkeypatch.setattr(equivariance, "MAPPED", 6)
    seen = {}

    def kept(name):
        def instead(case, *arrays):
            seen[name] = arrays
            return iter(())

        return instead

    monkeypatch.setattr(equivariance, "_blurred", kept("blurred"))
    monkeypatch.setattr(equivariance, "_layers", kept("layers"))
    striate.audit(own, only=["equivariance"])
    assert seen["blurred"][1].sum(0).tolist() == [3, 3, 3]
    assert len(seen["layers"][0]) == 6


# ------------------------------------------------------------------------------------- confidences


def test_the_temperature_that_made_answers_too_sure_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4)) * 2
    probs = softmax(logits)
    labels = np.array([rng.choice(4, p=row) for row in probs])
    assert best_temperature(logits * 3, labels) == pytest.approx(3, rel=0.1)
    assert best_temperature(logits, labels) == pytest.approx(1, rel=0.1)


def test_conformal_sets_cover_what_they_promise():
    """Over 300 draws of 60 and 200 items the sets hold the right class in 90 % on average, and not much more."""
    covered = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        probs = softmax(rng.normal(size=(260, 5)) * 2)
        labels = np.array([rng.choice(5, p=row) for row in probs])
        most = conformal_threshold(probs[np.arange(60), labels[:60]])
        sets = 1 - probs[60:] <= most
        covered.append(sets[np.arange(200), labels[60:]].mean())
    assert 0.895 <= np.mean(covered) <= 0.925


def test_few_items_take_every_class():
    assert conformal_threshold(np.array([0.9, 0.5])) == 1.0
