"""ResNet-18 against the paper: a plain functional reading of it, and the names of its weights."""

import torch
from torch.nn import functional as F

from striate.models.catalog import build


def block_names(layer, block):
    names = [f"{layer}.{block}.{part}" for part in ("conv1", "bn1", "conv2", "bn2")]
    if block == 0 and layer != "layer1":
        names += [f"{layer}.0.downsample.0", f"{layer}.0.downsample.1"]
    return names


def test_weights_have_the_names_of_torchvision():
    modules = ["conv1", "bn1"]
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        modules += [name for block in (0, 1) for name in block_names(layer, block)]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = []
    for module in modules:
        last = module.rsplit(".", 1)[-1]
        is_norm = "bn" in last or module.endswith("downsample.1")
        expected += [f"{module}.{part}" for part in (norm if is_norm else ("weight",))]
    expected += ["fc.weight", "fc.bias"]
    assert list(build("resnet18", init=False).state_dict()) == expected


def reference(s, x):
    def conv(x, name, *, stride, pad):
        return F.conv2d(x, s[f"{name}.weight"], None, stride, pad)

    def norm(x, name):
        return F.batch_norm(
            x,
            s[f"{name}.running_mean"],
            s[f"{name}.running_var"],
            s[f"{name}.weight"],
            s[f"{name}.bias"],
        )

    x = F.max_pool2d(F.relu(norm(conv(x, "conv1", stride=2, pad=3), "bn1")), 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            short = x
            if stride == 2:
                short = norm(conv(x, f"{at}.downsample.0", stride=2, pad=0), f"{at}.downsample.1")
            y = F.relu(norm(conv(x, f"{at}.conv1", stride=stride, pad=1), f"{at}.bn1"))
            x = F.relu(norm(conv(y, f"{at}.conv2", stride=1, pad=1), f"{at}.bn2") + short)
    return F.linear(x.mean((2, 3)), s["fc.weight"], s["fc.bias"])


def test_it_computes_what_the_paper_says():
    generator = torch.Generator().manual_seed(2)
    net = build("resnet18", size=64, width=0.25, generator=generator).double().eval()
    for name, tensor in net.state_dict().items():
        if ("running" in name or "bn" in name) and tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net.state_dict(), x))


def test_first_weights_are_he_normal():
    net = build("resnet18", generator=torch.Generator().manual_seed(0))
    for name, parameter in net.named_parameters():
        if parameter.ndim == 4:
            fan_out = parameter.shape[0] * parameter.shape[2] * parameter.shape[3]
            assert abs(parameter.std().item() / (2 / fan_out) ** 0.5 - 1) < 0.03, name
            assert abs(parameter.mean().item()) < 0.03 * (2 / fan_out) ** 0.5 + 1e-3, name
