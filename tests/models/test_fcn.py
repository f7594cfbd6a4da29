"""Fully convolutional nets: counts by hand, the authors' crops, functional readings, names of the weights."""

import pytest
import torch
from torch.nn import functional as F

from striate.models.catalog import CATALOG, build
from striate.models.fcn import Upsample, bilinear

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
NAMES = ("fcn32s", "fcn16s", "fcn8s")
PIXELS = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}


def counts_by_hand(name, side=500, classes=21):
    params = macs = 0

    def conv(side, inputs, outputs, cells, *, bias=True):
        nonlocal params, macs
        params += cells * inputs * outputs + outputs * bias
        macs += side * side * cells * inputs * outputs

    side, channels, pooled = side + 198, 3, {}
    for level, (maps, depth) in enumerate(VGG16, 1):
        for _ in range(depth):
            conv(side, channels, maps, 9)
            channels = maps
        side = pooled[level] = -(-side // 2)
    side -= 6
    conv(side, 512, 4096, 49)
    conv(side, 4096, 4096, 1)
    conv(side, 4096, classes, 1)
    for level, maps in {"fcn32s": (), "fcn16s": ((4, 512),), "fcn8s": ((4, 512), (3, 256))}[name]:
        conv(pooled[level], maps, classes, 1)
        conv(side, classes, classes, 16, bias=False)
        side = 2 * side + 2
    return params, macs + side * side * classes * (2 * PIXELS[name]) ** 2


@pytest.mark.parametrize("name", NAMES)
def test_the_counts_are_those_of_the_layers(name):
    assert counts_by_hand(name) == (CATALOG[name].params, CATALOG[name].macs)
    # Table 1 prints 134M for FCN-VGG16, its last upsampling fixed.
    assert CATALOG[name].params // 10**6 == 134


def reference(s, x, name, *, scales=(1.0, 1.0)):
    picture = x

    def conv(x, at, padding=0):
        return F.conv2d(x, s[f"{at}.weight"], s[f"{at}.bias"], padding=padding)

    def cut(x, first, like):
        return x[:, :, first : first + like.shape[2], first : first + like.shape[3]]

    pooled = {}
    for level, (_, depth) in enumerate(VGG16, 1):
        for i in range(1, depth + 1):
            x = F.relu(conv(x, f"conv{level}_{i}", 100 if (level, i) == (1, 1) else 1))
        x = pooled[level] = F.max_pool2d(x, 2, ceil_mode=True)
    x = F.relu(conv(F.relu(conv(x, "fc6")), "fc7"))
    y = conv(x, "score_fr")
    if name != "fcn32s":
        y = F.conv_transpose2d(y, s["upscore2.weight"], stride=2)
        y = y + cut(conv(pooled[4] * scales[0], "score_pool4"), 5, y)
    if name == "fcn8s":
        y = F.conv_transpose2d(y, s["upscore_pool4.weight"], stride=2)
        y = y + cut(conv(pooled[3] * scales[1], "score_pool3"), 9, y)
    stride = PIXELS[name]
    kernel = torch.zeros(y.shape[1], y.shape[1], 2 * stride, 2 * stride, dtype=y.dtype)
    for k in range(y.shape[1]):
        kernel[k, k] = bilinear(stride)
    y = F.conv_transpose2d(y, kernel, stride=stride)
    return cut(y, {"fcn32s": 19, "fcn16s": 27, "fcn8s": 31}[name], picture)


def filled(net, generator):
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(0, 0.3, generator=generator)
    return net.double().eval()


@pytest.mark.parametrize("size", [(1, 1), (37, 70)])
@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_the_authors_net_does(name, size):
    generator = torch.Generator().manual_seed(2)
    net = build(name, size=size, width=0.03, num_classes=3, generator=generator)
    net = filled(net, generator)
    x = torch.rand(2, 3, *size, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        y = net(x)
        assert y.shape == (2, 3, *size)
        expected = reference(net.state_dict(), x, name)
    torch.testing.assert_close(y, expected, rtol=1e-10, atol=1e-12)


def test_training_at_once_scales_the_finer_maps():
    generator = torch.Generator().manual_seed(2)
    net = build("fcn8s", size=33, width=0.03, num_classes=2, generator=generator, at_once=True)
    net = filled(net, generator)
    x = torch.rand(1, 3, 33, 33, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        expected = reference(net.state_dict(), x, "fcn8s", scales=(0.01, 0.0001))
        torch.testing.assert_close(net(x), expected, rtol=1e-10, atol=1e-12)


def test_maps_lie_over_the_picture():
    """What a spot changes in a map is centred where the spot is, to half a value and the 3 pixels of the padding."""
    generator = torch.Generator().manual_seed(0)
    net = build("fcn8s", size=96, width=0.05, generator=generator).double().eval()
    blank = torch.zeros(1, 3, 256, 256, dtype=torch.float64)
    spot = blank.clone()
    spot[:, :, 136:152, 104:120] = 4
    with torch.no_grad():
        for seen, unseen, stride in zip(
            net.features(spot), net.features(blank), net.strides, strict=True
        ):
            assert seen.shape[2:] == (256 // stride, 256 // stride)
            changed = (seen - unseen).square().sum((0, 1))
            for axis, center in ((1, 144), (0, 112)):
                weight = changed.sum(axis)
                found = (weight * (torch.arange(len(weight)) + 0.5)).sum() / weight.sum() * stride
                assert abs(found - center) < 3 + stride / 2, (stride, found)


def test_upsampling_interpolates_linearly():
    x = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for stride in (2, 8):
        y = Upsample(stride).double()(x)
        expected = F.interpolate(x, scale_factor=stride, mode="bilinear")
        # `interpolate` repeats the border where the convolution reads zeros.
        inside = (..., slice(stride, -stride), slice(stride, -stride))
        start = stride // 2
        y = y[..., start : start + 5 * stride, start : start + 6 * stride]
        torch.testing.assert_close(y[inside], expected[inside])


def test_scores_begin_at_zero_and_upsampling_at_interpolation():
    net = build("fcn8s", size=32, width=0.05, num_classes=3)
    for _ in range(2):
        s = net.state_dict()
        scores = [
            s[f"{name}.{part}"]
            for name in ("score_fr", "score_pool4", "score_pool3")
            for part in ("weight", "bias")
        ]
        assert not any(score.any() for score in scores)
        for name in ("upscore2", "upscore_pool4"):
            expected = torch.zeros_like(s[f"{name}.weight"])
            for k in range(len(expected)):
                # Four times a value lie at 1/4 and 3/4 between two others.
                expected[k, k] = torch.outer(*[torch.tensor([0.25, 0.75, 0.75, 0.25])] * 2)
            torch.testing.assert_close(s[f"{name}.weight"], expected)
        net.reset_head(5)
    assert net.eval()(torch.rand(1, 3, 32, 32)).shape == (1, 5, 32, 32)


def test_names_are_those_of_the_authors():
    modules = [f"conv{level}_{i}" for level, (_, n) in enumerate(VGG16, 1) for i in range(1, n + 1)]
    modules += ["fc6", "fc7", "score_fr"]
    expected = [f"{name}.{part}" for name in modules for part in ("weight", "bias")]
    for up, score in (("upscore2", "score_pool4"), ("upscore_pool4", "score_pool3")):
        expected += [f"{up}.weight", f"{score}.weight", f"{score}.bias"]
    assert list(build("fcn8s", size=32, init=False, width=0.05).state_dict()) == expected


NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def resnet_names():
    modules = ["backbone.conv1", "backbone.bn1"]
    for layer, depth in enumerate((3, 4, 6, 3), 1):
        for block in range(depth):
            at = f"backbone.layer{layer}.{block}"
            modules += [f"{at}.{kind}{i}" for i in (1, 2, 3) for kind in ("conv", "bn")]
            modules += [f"{at}.downsample.{i}" for i in (0, 1) if block == 0]
    for head in ("classifier", "aux_classifier"):
        modules += [f"{head}.{i}" for i in (0, 1)]
    names = []
    for module in modules:
        last = module.rsplit(".", 1)[-1]
        names += [
            f"{module}.{part}"
            for part in (NORM if last.startswith("bn") or last == "1" else NORM[:1])
        ]
    names += [f"{head}.4.{part}" for head in ("classifier", "aux_classifier") for part in NORM[:2]]
    return names


def test_weights_have_the_names_of_torchvision():
    net = build("fcn_resnet50", size=32, width=0.1, init=False)
    # A block of index 1 is no normalisation: only `downsample.1` and the second layer of a head are.
    assert sorted(net.state_dict()) == sorted(resnet_names())


def resnet_reference(s, x, head, last):
    def norm(x, at):
        mean, var = s[f"{at}.running_mean"], s[f"{at}.running_var"]
        return F.batch_norm(x, mean, var, s[f"{at}.weight"], s[f"{at}.bias"])

    def conv(x, at, stride=1, padding=0, dilation=1):
        return F.conv2d(x, s[f"{at}.weight"], None, stride, padding, dilation)

    size = x.shape[2:]
    x = F.relu(norm(conv(x, "backbone.conv1", 2, 3), "backbone.bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    # (blocks, stride and dilation of the first, dilation of the others)
    for layer, (depth, stride, first, later) in enumerate(
        ((3, 1, 1, 1), (4, 2, 1, 1), (6, 1, 1, 2), (3, 1, 2, 4))[:last], 1
    ):
        for block in range(depth):
            at = f"backbone.layer{layer}.{block}"
            s_, d = (stride, first) if block == 0 else (1, later)
            y = F.relu(norm(conv(x, f"{at}.conv1"), f"{at}.bn1"))
            y = F.relu(norm(conv(y, f"{at}.conv2", s_, d, d), f"{at}.bn2"))
            y = norm(conv(y, f"{at}.conv3"), f"{at}.bn3")
            if block == 0:
                x = norm(conv(x, f"{at}.downsample.0", s_), f"{at}.downsample.1")
            x = F.relu(x + y)
    x = F.relu(norm(conv(x, f"{head}.0", 1, 1), f"{head}.1"))
    x = F.conv2d(x, s[f"{head}.4.weight"], s[f"{head}.4.bias"])
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def test_it_computes_what_torchvision_says():
    generator = torch.Generator().manual_seed(2)
    net = build("fcn_resnet50", size=65, width=0.125, num_classes=3, generator=generator)
    net = net.double().eval()
    for name, tensor in net.state_dict().items():
        if ("running" in name or "bn" in name) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, 3, 65, 41, dtype=torch.float64, generator=generator)
    target = torch.rand(2, 3, 65, 41, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        main = resnet_reference(net.state_dict(), x, "classifier", 4)
        aside = resnet_reference(net.state_dict(), x, "aux_classifier", 3)
        answer, loss = net.objective(x, target, F.mse_loss)
        for found in (answer, net(x)):
            torch.testing.assert_close(found, main, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(loss, F.mse_loss(main, target) + 0.5 * F.mse_loss(aside, target))


def test_published_counts_are_with_the_auxiliary_head():
    row = CATALOG["fcn_resnet50"]
    assert row.published.params == row.params
    head = 9 * 1024 * 256 + 2 * 256 + 256 * 21 + 21
    assert row.params_train - row.params == head == 2_365_205
    with_head = row.macs + 65 * 65 * (9 * 1024 * 256 + 256 * 21)
    assert row.published.macs == round(with_head, -6)
