"""The same weights and the same picture give what torchvision 0.29 and timm 1.0 gave: recorded answers.

Weights come from NumPy's generator, tensor by tensor in the order of their names, so that none has to be kept.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from striate.models.catalog import outline

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())["nets"]


def fill(net: torch.nn.Module) -> None:
    """Weights that keep values in range, drawn in the order of the tensors' names."""
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for name, tensor in sorted(net.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            values = rng.standard_normal(tensor.shape)
            scale = 1 / np.sqrt(max(1, tensor[0].numel())) if tensor.ndim > 1 else 0.1
            values = values * scale
            if name.endswith("running_var"):
                values = 1 + np.abs(values)
            elif tensor.ndim == 1 and name.endswith("weight"):
                values = 1 + values
            tensor.copy_(torch.from_numpy(values))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_answers_are_those_that_were_recorded(name):
    row = RECORDED[name]
    net = outline(name, (3, row["side"], row["side"])).double().eval()
    assert len(net.state_dict()) == row["tensors"]
    for module in net.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
    fill(net)
    side = row["side"]
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, side, side)))
    with torch.no_grad():
        logits = net(x)[0]
    norm = torch.tensor(row["norm"], dtype=torch.float64)
    assert (logits.norm() - norm).abs() < 1e-10 * norm
    expected = torch.tensor(row["logits"], dtype=torch.float64)
    assert (logits[:6] - expected).abs().max() < 1e-10 * norm
