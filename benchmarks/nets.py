"""Our networks against torchvision's, or timm's where torchvision has none: ratios of interleaved medians, and how long building takes.

    python benchmarks/nets.py [NET ...] [--steps forward training] [--precisions fp32 bf16] [--batch 8] [--rounds 9] [--json]
    python benchmarks/nets.py --build [NET ...]

Ratio over 1: ours is faster. Both have the same weights, threads, batch, layout and precision; `bf16` is
channels_last under autocast. Needs torchvision and timm beside their own torch, so an environment of its own;
--build needs neither.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate import build
from striate.models.catalog import CATALOG

NETS = (
    "resnet18", "resnet50", "densenet121", "googlenet", "inception_v3", "squeezenet1_1", "alexnet", "vgg11_bn",
    "inception_v4", "inception_resnet_v2", "xception", "preresnet50",
)  # fmt: skip
TIMM = {"preresnet50": "resnetv2_50", "xception": "legacy_xception"}  # called otherwise there
AUXILIARY = {"googlenet", "inception_v3"}  # torchvision trains these with heads beside the last
LARGEST = ("vgg19", "densenet201", "inception_resnet_v2", "resnet152", "alexnet_2012", "capsnet")


def pair(name: str) -> tuple[nn.Module, nn.Module]:
    """Ours and theirs, of the same weights."""
    import timm
    import torchvision

    more = {"aux_logits": False, "init_weights": False} if name in AUXILIARY else {}
    if name in torchvision.models.list_models():
        theirs = torchvision.models.get_model(name, weights=None, **more)
    else:
        theirs = timm.create_model(TIMM.get(name, name))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "theirs.pt"
        torch.save(theirs.state_dict(), file)
        ours = build(name, weights=file, **({"auxiliary": False} if name in AUXILIARY else {}))
    return ours, theirs


def forward(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG001 - as training
    """Inference."""
    with torch.inference_mode():
        return net(x)


def training(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Forward, backward and the step."""
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.sub_(parameter.grad, alpha=1e-6)
            parameter.grad = None
    return loss


STEPS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "forward": forward,
    "training": training,
}


def compared(name: str, step: str, precision: str, *, batch: int, rounds: int) -> dict[str, object]:
    """One row: medians of both, taken in turns, the first turn apart."""
    nets = pair(name)
    size = CATALOG[name].input[1]
    layout = torch.channels_last if precision == "bf16" else torch.contiguous_format
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, size, size, generator=generator).contiguous(memory_format=layout)
    y = torch.randint(1000, (batch,), generator=generator)
    for net in nets:
        net.to(memory_format=layout).train(step == "training")
        for module in net.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # the same answers
    times: tuple[list[float], list[float]] = [], []
    for turn in range(rounds + 1):
        answers: list[Tensor] = [x, x]
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                answers[which] = STEPS[step](nets[which], x, y)
            if turn:
                times[which].append(time.perf_counter() - start)
        if not turn:
            most = 5e-2 * float(answers[1].abs().max())  # untrained nets answer with any size
            torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=most)
    ours, theirs = map(statistics.median, times)
    ratios = sorted(b / a for a, b in zip(*times, strict=True))
    return {
        "net": name,
        "step": step,
        "precision": precision,
        "ours_ms": round(1e3 * ours, 1),
        "peer_ms": round(1e3 * theirs, 1),
        "ratio": round(theirs / ours, 3),
        "ratios": [round(ratios[len(ratios) // 4], 3), round(ratios[-1 - len(ratios) // 4], 3)],
    }


def building(name: str) -> dict[str, object]:
    """Seconds to build a net with first weights, without them, and to fill its memory once."""

    def seconds(call: Callable[[], object]) -> float:
        found = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return round(statistics.median(found), 3)

    build("lenet5")  # what is imported once
    net = build(name, init=False)
    tensors = [*net.parameters(), *net.buffers()]
    fill = seconds(lambda: [torch.empty_like(tensor).fill_(1) for tensor in tensors])
    return {
        "net": name,
        "parameters": sum(p.numel() for p in net.parameters()),
        "whole_s": seconds(lambda: build(name)),
        "unset_s": seconds(lambda: build(name, init=False)),
        "fill_s": fill,
    }


def main() -> None:
    """Print one line a row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nets", nargs="*")
    parser.add_argument("--build", action="store_true", help="time building instead")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.build:
        rows = (building(name) for name in given.nets or LARGEST)
    else:
        rows = (
            compared(name, step, precision, batch=given.batch, rounds=given.rounds)
            for name in given.nets or NETS
            for precision in given.precisions
            for step in given.steps
        )
    for row in rows:
        print(json.dumps(row) if given.json else "  ".join(map(str, row.values())), flush=True)


if __name__ == "__main__":
    main()
