"""How long the Studio's answers take, whole over HTTP, beside the bare forward pass of the same net: ratios of medians.

    python benchmarks/studio.py [--net NAME ...] [--turns 9] [--json studio.json]

Every turn takes one bare forward and one of each question, one after the other, so that what else the machine does falls
on all of them alike. `input` is new pixels to the answer; `maps` the widest layer of maps of that new input as bytes;
`other` another layer of the same input; `number` one number of that layer with its terms, once the input is recorded;
`first` the same where it is not; `kept` is the forward that keeps what every module gave, without HTTP.
"""

import argparse
import http.client
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import torch

from striate.probe import as_eval, outputs
from striate.result import text_table
from striate.studio.launch import Studio, begun

NETS = ("lenet5", "resnet50")


class Page:
    """One connection that stays open, as a browser's does, with the cookie and the token."""

    def __init__(self, page: Studio) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", page.server.server_address[1])
        self.headers = {"Content-Type": "application/octet-stream"}
        self.link.request("GET", "/" + page.address().split("/", 3)[3])
        answer = self.link.getresponse()
        answer.read()
        self.headers["Cookie"] = answer.headers["set-cookie"].partition(";")[0]
        self.headers["X-Striate-Token"] = json.loads(self.ask("session"))["token"]

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> bytes:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        self.link.request(
            "GET" if body is None else "POST", f"/api/{path}", body, self.headers | sent
        )
        answer = self.link.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {content[:200]}")
        return content


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured(name: str, turns: int) -> dict[str, Any]:
    """Medians in seconds of one net, their ratios, and the bytes of the answers."""
    with begun([name]) as studio:
        page, opened = Page(studio), studio.session.nets[name]
        layers = [layer for layer in opened.card.layers if layer.kind == "maps" and "@" in layer.id]
        widest = max(layers, key=lambda layer: layer.shape[0])
        other = next(layer for layer in reversed(layers) if layer.id != widest.id)
        rng = np.random.default_rng(0)
        h, w, c = *opened.pre.shape[1:], opened.pre.shape[0]
        x = studio.session.run(opened.card.example.run_id).x
        seconds: dict[str, list[float]] = {}
        sizes: dict[str, int] = {}
        run = ""

        def bare() -> None:
            with as_eval(opened.net), torch.no_grad():
                opened.net(x)

        def given() -> None:
            nonlocal run
            pixels = rng.integers(0, 256, (h, w, c), dtype=np.uint8).tobytes()
            run = json.loads(
                page.ask(f"net/{name}/input", pixels, X_Kind="u8", X_Shape=f"{h},{w},{c}")
            )["run_id"]

        def maps(layer: str, key: str) -> Callable[[], None]:
            def ask() -> None:
                sizes[key] = len(page.ask(f"run/{run}/maps?layer={quote(layer)}"))

            return ask

        def number() -> None:
            sizes["number"] = len(
                page.ask(f"run/{run}/number?layer={quote(widest.id)}&c=0&y=1&x=1")
            )

        rows: dict[str, Callable[[], object]] = {
            "bare": bare,
            "kept": lambda: outputs(opened.net, lambda: opened.net(x), opened.written),
            "input": given,
            "maps": maps(widest.id, "maps"),
            "other": maps(other.id, "other"),
            "first": number,
            "number": number,
        }
        for turn in range(turns + 1):
            for key, work in rows.items():
                spent = timed(work)
                if turn:  # the first warms up
                    seconds.setdefault(key, []).append(spent)
        medians = {key: statistics.median(each) for key, each in seconds.items()}
        whole = statistics.median(
            a + b for a, b in zip(seconds["input"], seconds["maps"], strict=True)
        )
        medians["input+maps"] = whole
        ratios = {key: value / medians["bare"] for key, value in medians.items()}
        return {
            "net": name,
            "layer": widest.id,
            "shape": widest.shape,
            "seconds": medians,
            "ratios": ratios,
            "bytes": sizes,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", nargs="+", default=list(NETS))
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = [measured(name, given.turns) for name in given.net]
    keys = [key for key in found[0]["seconds"] if key != "bare"]
    rows = [
        [
            row["net"],
            f"{row['seconds']['bare'] * 1000:.1f}",
            *(f"{row['ratios'][key]:.2f}" for key in keys),
        ]
        for row in found
    ]
    print(
        f"{torch.get_num_threads()} threads, {given.turns} turns; ratios to the bare forward (ms)"
    )
    print(text_table(["net", "bare", *keys], rows, right=True))
    for row in found:
        print(f"{row['net']}: {row['layer']} {row['shape']}, bytes {row['bytes']}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
