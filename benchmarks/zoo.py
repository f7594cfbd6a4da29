"""What `measure` finds on the nets of torchvision and timm, which are good ones: each finding should be worth a change.

python benchmarks/zoo.py [--library torchvision] [--library timm] [--each 2] [--only resnet] [--json OUT]

Nets are built without weights, on the meta device where their making allows it, and measured at their published
size; detection, flow and quantised nets are left out, since they need more than a picture. `--each` is how many
of a family of timm (what stands before the first "_" and its number) are drawn.
"""

import argparse
import importlib
import json
import random
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.errors import StriateError
from striate.measuring import measure

OTHER = ("rcnn", "ssd", "retina", "fcos", "raft", "quantized")
VIDEO = ("r3d", "mc3", "r2plus1d", "mvit", "swin3d", "s3d")
LARGE = ("giant", "huge", "enormous", "gigantic", "xxlarge", "22b", "7b", "g_14", "so400m")
Made = tuple[str, Callable[[], nn.Module], tuple[int, ...]]


def torchvision_nets() -> Iterator[Made]:
    models = importlib.import_module("torchvision").models
    for name in models.list_models():
        if any(word in name for word in OTHER):
            continue
        shape = (3, 299, 299) if name == "inception_v3" else (3, 224, 224)
        if any(word in name for word in VIDEO):
            shape = (3, 16, 224, 224)
        bare = {"weights_backbone": None} if name.startswith(("fcn", "deeplab", "lraspp")) else {}
        yield (
            f"torchvision/{name}",
            lambda n=name, b=bare: models.get_model(n, weights=None, **b),
            shape,
        )


def timm_nets(each: int) -> Iterator[Made]:
    timm = importlib.import_module("timm")
    families: dict[str, list[str]] = {}
    for name in timm.list_models():
        if not any(word in name for word in LARGE):
            families.setdefault(re.sub(r"\d+$", "", name.split("_")[0]), []).append(name)
    draw = random.Random(0)  # noqa: S311 - a sample, no secret
    for _, names in sorted(families.items()):
        for name in draw.sample(names, min(each, len(names))):
            known = timm.models.get_pretrained_cfg(name)
            shape = tuple(known.input_size) if known else (3, 224, 224)
            yield f"timm/{name}", lambda n=name: timm.create_model(n, pretrained=False), shape


def built(make: Callable[[], nn.Module]) -> nn.Module:
    try:
        with torch.device("meta"):
            return make()
    except NotImplementedError:  # its making computes with numbers
        return make()


def row(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> dict[str, Any]:
    began = time.process_time()
    try:
        net = built(make)
        sheet = measure(net, shape)
    except StriateError as error:
        return {"error": str(error)}
    return {
        "findings": [[found.kind, found.path, found.text] for found in sheet.findings],
        "parameters": sheet.totals.params == sum(p.numel() for p in net.parameters()),
        "counts agree": not sheet.counts.disagree,
        "unfinished": sheet.unfinished.text if sheet.unfinished else None,
        "seconds": round(time.process_time() - began, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", action="append", choices=["torchvision", "timm"])
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sources = {"torchvision": torchvision_nets, "timm": lambda: timm_nets(given.each)}
    found: dict[str, dict[str, Any]] = {}
    for library in given.library or sources:
        for name, make, shape in sources[library]():
            if given.only in name:
                found[name] = row(make, shape)
                print(name, found[name], flush=True)
    kinds = Counter(one[0] for each in found.values() for one in each.get("findings", []))
    with_some = sum(bool(each.get("findings")) for each in found.values())
    print(f"{len(found)} nets, {with_some} with findings: {dict(kinds)}")
    print(
        f"not measured to their end: {[n for n, r in found.items() if r.get('error') or r.get('unfinished')]}"
    )
    print(
        f"counts that disagree: {[n for n, r in found.items() if not r.get('counts agree', True)]}"
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
