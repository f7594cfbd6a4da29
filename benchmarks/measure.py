"""How long `measure` takes on ResNet-152, against torchinfo, and how it grows with depth.

python benchmarks/measure.py [--rounds 7] [--json]

Ratios of interleaved medians in one process; cold times and memory each in a process of their own. torchinfo is left out
if it is not installed. The floor of the counts: a run of the net on the meta device with nothing recorded.
"""

import argparse
import importlib
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from striate.measuring import measure
from striate.measuring.fields import fields
from striate.measuring.inputs import templates
from striate.models.catalog import outline
from striate.probe import copied, trace
from striate.probe.tracing import FlopCounter

COLD = """
import time
began = time.perf_counter()
import resource
from striate.measuring import measure
measure("resnet152")
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)
"""


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each, all of them in every round; a first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            spent = seconds(call)
            if turn:
                taken[name].append(spent)
    return {name: statistics.median(times) for name, times in taken.items()}


def tower(depth: int) -> nn.Module:
    """`depth` layers, one after the other."""
    layers = [nn.Conv2d(8, 8, 3, padding=1, device="meta") for _ in range(depth // 2)]
    return nn.Sequential(*(part for conv in layers for part in (conv, nn.ReLU())))


def counted(net: nn.Module, x: torch.Tensor) -> None:
    """A run under the second count alone."""
    with FlopCounter():
        net(x)


def on_resnet152(rounds: int) -> dict[str, float]:
    """The whole sheet, its parts, and torchinfo, in seconds."""
    net = outline("resnet152")
    fed = templates(net, None)
    run = trace(net, fed)
    # torchinfo asks for a net whose tensors are all on one device, and copies nothing itself.
    bare, x = copied(net, "meta").eval(), fed.tensors[0]
    calls: dict[str, Callable[[], object]] = {
        "measure": lambda: measure(net),
        "trace with both counts": lambda: trace(net, fed),
        "fields of all layers": lambda: fields(run),
        "bare run on meta": lambda: bare(x),
        "the same with the second count": lambda: counted(bare, x),
    }
    if importlib.util.find_spec("torchinfo"):
        summary = importlib.import_module("torchinfo").summary
        calls["torchinfo"] = lambda: str(summary(bare, input_data=x, device="meta", verbose=0))
    with torch.no_grad():
        return medians(calls, rounds)


def growth(rounds: int) -> dict[int, float]:
    """Seconds for towers of 250, 500 and 1,000 layers."""
    towers = {depth: tower(depth) for depth in (250, 500, 1000)}
    calls = {str(d): (lambda net=net: measure(net, (8, 32, 32))) for d, net in towers.items()}
    return {int(depth): spent for depth, spent in medians(calls, rounds).items()}


def alone(words: list[str]) -> tuple[float, str]:
    """Wall time and output of a process of its own."""
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    return time.perf_counter() - began, done.stdout


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cold, memory = map(float, alone([sys.executable, "-c", COLD])[1].split())
    command, _ = alone([sys.executable, "-m", "striate", "measure", "resnet152", "--json"])
    warm = on_resnet152(options.rounds)
    layers = growth(3)
    told = {
        "cold_s": cold,
        "memory_MiB": memory,
        "command_s": command,
        "warm_s": warm,
        "layers_s": layers,
    }
    if options.json:
        print(json.dumps(told))
        return
    print(
        f"ResNet-152 at 224: {cold:.2f} s cold, imports included, {memory:.0f} MiB; as a command {command:.2f} s"
    )
    for name, spent in warm.items():
        against = f", {spent / warm['torchinfo']:.2f} of torchinfo" if "torchinfo" in warm else ""
        print(f"  {name:31} {spent:.3f} s{against}")
    second = warm["the same with the second count"] - warm["bare run on meta"]
    single = warm["measure"] - second - warm["fields of all layers"]
    if "torchinfo" in warm:
        print(
            f"  sheet with one count, by difference: {single / warm['torchinfo']:.2f} of torchinfo"
        )
    print(f"  second count and fields: {second + warm['fields of all layers']:.3f} s")
    for depth, spent in layers.items():
        print(f"  {depth:5} layers {spent:.3f} s, {spent / depth * 1000:.2f} ms a layer")


if __name__ == "__main__":
    main()
