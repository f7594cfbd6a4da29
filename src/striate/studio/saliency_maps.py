"""Saliency of the input that is shown, by any method of `striate.see.saliency`, also with weights in random order.

Quick methods answer at once. Long ones are jobs: the method runs on a thread of its own, which is let go on from one
forward pass to the next only while the model thread waits for it, so that requests come in between and a job ends soon
after it is cancelled. Each runs on a copy of the net's modules with the net's own weights, so no hook of it is met elsewhere.
"""

import copy
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any
from urllib.parse import urlencode

import torch
from torch import Tensor, nn

from striate import see
from striate.errors import ArgumentError
from striate.probe import copied
from striate.see.attribution import checks
from striate.see.attribution import methods as known
from striate.see.pictures.saliency import Saliency
from striate.studio.routes import Answer, Refusal, Request, whole
from striate.studio.session import OpenNet, Pass, Session, layer_parts
from striate.studio.wire import SaliencyMethod, array_answer, json_answer

LONG = ("integrated", "smoothgrad", "occlusion", "rise", "score-cam")
MEMORY = (
    192,
    4096,
)  # MiB of a batch: small ones let requests in between; the second where an item takes more
SLICE, APART = 0.1, 0.25  # seconds of a step, and between two reports
SEED = 0  # of the order of random weights


@dataclass(frozen=True)
class Asked:
    """One map that is wanted: `layer` is a path or "", `wanted` a class or None for what the net finds likeliest."""

    method: str
    layer: str
    wanted: int | None
    random: bool

    @property
    def query(self) -> str:
        """As the address of `looking` says it."""
        pairs = {"method": self.method, "layer": self.layer and f"{self.layer}@0"}
        pairs |= {"class": "" if self.wanted is None else str(self.wanted), "random": str(int(self.random))}  # fmt: skip
        return urlencode({name: value for name, value in pairs.items() if value})


def asked(text: Callable[[str], str]) -> Asked:
    """What a query or a body asks for; `text` gives what stands under a name, "" if nothing does."""
    _, way, _ = known.read(text("method")[:40])
    layer = layer_parts(text("layer"))[0] if text("layer") and way.at_layer else ""
    wanted = whole(text("class"), "class") if text("class") else None
    if text("random") not in ("", "0", "1"):
        raise Refusal(400, f"random={text('random')[:20]}: expected 0 or 1", "random")
    return Asked(text("method"), layer, wanted, text("random") == "1")


def subject(open_: OpenNet, *, random: bool) -> tuple[Any, nn.Module]:
    """What `striate.see.saliency` takes in the place of an open net, and the module that will run.

    With `random` the numbers of each weight stand in another order (Adebayo et al. 2018, arXiv 1810.03292).
    """
    twin = copied(open_.net, "cpu", shared=not random).eval()
    if random:
        generator = torch.Generator().manual_seed(SEED)
        for module in twin.modules():
            checks.shuffle(module, generator)
    if open_.run is None:
        return twin, twin
    run = copy.copy(open_.run)
    vars(run)["net"] = (
        twin  # the place of the run's cached net: its task explains the answers of this one
    )
    return run, twin


def saliency(one: Pass, what: Asked, pause: Callable[[int], None] | None = None) -> Saliency:
    """The map of one input; `pause` is called before each pass with the number of its items."""
    net, module = subject(one.open, random=what.random)
    if pause is not None:
        module.register_forward_pre_hook(lambda _module, given: pause(len(given[0])))
    wanted = what.wanted
    if wanted is None and what.random and one.answer and one.answer.top:
        wanted = one.answer.top[0].index  # what the net itself finds likeliest
    x = one.x.contiguous()
    for memory in MEMORY:
        try:
            return see.saliency(net, x, method=what.method, layer=what.layer or None, target=wanted, memory=memory)  # fmt: skip
        except ArgumentError as error:
            if memory == MEMORY[-1] or not str(error).startswith("memory="):
                raise
    raise AssertionError("the last of MEMORY returns or raises")


def _answer(found: Saliency, what: Asked, seconds: float) -> Answer:
    values = found.values[0]
    meta = {
        "method": found.method,
        "layer": found.layer,
        "of": found.words[0],
        "score": found.scores[0],
        "unit": found.unit,
        "scale": found.scale(0),
        "signed": bool((values < 0).any()),
        "cells": list(found.resolution.cells),
        "notes": found.remarks(),
        "upright": found.upright,
        "random": what.random,
        "seed": checks.SEED,
        "ms": round(1000 * seconds),
    }
    return array_answer({"map": values}, meta)


def _key(one: Pass, what: Asked) -> str:
    return f"{one.id} {what.query}"


def looking(session: Session, request: Request) -> Answer:
    """GET api/run/RUN/looking?method=&layer=&class=&random=: the map of one method, f32 [*space]."""
    one = session.run(request.params["run"])
    what = asked(lambda name: request.text(name, ""))
    held = session.store.get("looking", _key(one, what))
    if held is not None:
        return held
    if what.method.partition(":")[0] in LONG:
        raise Refusal(409, f"{what.method} takes long: start it with POST api/jobs", "method")
    view = request.view and f"looking {what.query} {request.view}"
    return session.on_model(lambda: _kept(session, one, what, None), view)


def _kept(session: Session, one: Pass, what: Asked, pause: Callable[[int], None] | None) -> Answer:
    start = time.perf_counter()
    answer = _answer(saliency(one, what, pause), what, time.perf_counter() - start)
    session.store.put("looking", _key(one, what), answer, len(answer.body))
    return answer


def methods(_session: Session, _request: Request) -> Answer:
    """GET api/looking/methods: every method."""
    rows = [
        SaliencyMethod(name, m.unit, m.at_layer, m.number, m.usual, name in LONG)
        for name, m in known.METHODS.items()
    ]
    return json_answer({"items": rows})


# ------------------------------------------------------------------------------------------- jobs


class _Stopped(BaseException):
    """Ends the work of a job that was cancelled, through whatever stands between."""


class Paced:
    """Work on a thread of its own that runs only within `step`, from one pause to the next."""

    def __init__(self, work: Callable[[Callable[[int], None]], Any]) -> None:
        self.items, self.over = 0, False
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work
        self._go, self._rest = threading.Semaphore(0), threading.Semaphore(0)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="striate-studio-job", daemon=True)
        self._thread.start()

    def step(self) -> bool:
        """Let the work go on to its next pause; whether it is over.

        What the work raises is raised here.
        """
        self._go.release()
        self._rest.acquire()
        if self.error is not None:
            raise self.error
        return self.over

    def close(self) -> None:
        """End the work at its pause."""
        if not self.over:
            self._stopped = True
            self._go.release()
        self._thread.join()

    def _pause(self, items: int) -> None:
        self._rest.release()
        self._go.acquire()
        if self._stopped:
            raise _Stopped
        self.items += items

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._stopped:
                self.result = self._work(self._pause)
        except _Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in `step`
            self.error = error
        self.over = True
        self._rest.release()


def job(session: Session, body: Mapping[str, Any]) -> Generator[tuple[str, object], None, None]:
    """POST api/jobs {kind: "looking", run, method, layer, class, random}: events "progress" {done, total}, "map" {path}.

    The map lies then under that path. `total` is left out where it is not known before.
    """
    one = session.run(_text(body, "run"))
    what = asked(lambda name: _text(body, name))
    return _steps(session, one, what)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, str | int):
        raise Refusal(400, f"{name}: expected a text or a whole number", name)
    return str(value)


def _steps(session: Session, one: Pass, what: Asked) -> Generator[tuple[str, object], None, None]:
    total = passes(what, one.x)
    paced = Paced(lambda pause: _kept(session, one, what, pause))
    said = 0.0
    try:
        over = False
        while not over:
            until = time.monotonic() + SLICE
            while not over and time.monotonic() < until:
                over = paced.step()
            if time.monotonic() - said >= APART and not over:
                said = time.monotonic()
                yield "progress", {"done": paced.items} | ({"total": total} if total else {})
            elif not over:
                yield "still", {}
    finally:
        paced.close()
    yield "map", {"path": f"run/{one.id}/looking?{what.query}"}


def passes(what: Asked, x: Tensor) -> int | None:
    """How many items a method gives the net; None where that is not known before."""
    name, way, number = known.read(what.method)
    if name == "occlusion":
        return prod(way.grain(tuple(x.shape[2:]), number).cells) + 1
    return number + 1 if number else None
