"""`explain`: the arithmetic of one number of any net, and the way from it back to the pixels."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from striate.errors import ArgumentError, ShapeError, nearest
from striate.measuring import window_grids
from striate.measuring.operations import operation
from striate.measuring.operations.number_terms import (
    Arithmetic,
    Place,
    Step,
    Term,
    exact_pointwise,
    pointwise,
    smooth,
    unknown,
)
from striate.measuring.operations.pointwise import explain_batch_norm
from striate.measuring.window_grids import short
from striate.probe import Recording, Value, record
from striate.result import Result, html_table, text_table
from striate.text import counted, some, times

CHANNELS, TERMS = 3, 8  # shown in full; of the rest the sum
MARKS = {
    "padding": "[ ] padding",
    "gap": "· no input meets this cell of the kernel",
    "taken": "* taken",
}
LONGEST = 10_000  # calls on the way from a number to a pixel


@dataclass(frozen=True)
class After:
    """What became of the number in the next function: a normalisation or an activation."""

    path: str
    op: str
    value: float


@dataclass(frozen=True, eq=False)
class Explanation(Result):
    """One number: what it was made of, computed again.

    Attributes:
        path: the layer that made it; "" is the net itself.
        op: the function.
        at: its coordinates without the batch axis.
        shape: of the output it stands in, without the batch axis.
        dtype: of that output, such as "float32".
        value: what PyTorch gave.
        done: the terms, the same number in float64, the bound of the rounding.
        after: the normalisation and activation that follow, and what they make of it.
    """

    path: str
    op: str
    at: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    value: float
    done: Arithmetic
    after: tuple[After, ...]
    _recording: Recording = field(repr=False)
    _place: Place = field(repr=False)

    @property
    def plane(self) -> Tensor | None:
        """The map [H, W] that the number stands in; None if its layer gives no maps."""
        whole = self._recording.numbers[self._place.value.index]
        return whole[self._place.at[:-2]] if whole.ndim == 4 else None

    @property
    def difference(self) -> float:
        """How far PyTorch's number is from the one in float64; 0 where both are the same infinity, or no numbers."""
        both = math.isnan(self.value) and math.isnan(self.done.exact)
        return 0.0 if both or self.value == self.done.exact else abs(self.value - self.done.exact)

    @property
    def within(self) -> bool | None:
        """Whether that is no more than rounding allows; None if no bound is known, as of what is no number."""
        bound = self.done.bound
        return None if bound is None or math.isnan(bound) else self.difference <= bound

    @property
    def place(self) -> Place:
        """Where it stands in its recording."""
        return self._place

    def following(self) -> "list[Explanation]":
        """The explanations of `after`: of what each normalisation and activation makes of the number."""
        places = _following(self._recording, self._place)
        return [found for place in places if (found := explained(self._recording, place))]

    @property
    def main(self) -> int | None:
        """The term with the largest product, or the one that was taken; None if nothing was read."""
        if self.done.main is not None:
            return self.done.main
        read = [i for i, term in enumerate(self.done.terms) if term.source]
        return max(read, key=lambda i: _weight(self.done.terms[i]), default=None)

    def step(self, term: int | None = None, *, factor: bool = False) -> "Explanation | None":
        """The explanation of a number that this one was made of; None if it is a pixel, a weight or padding.

        Args:
            term: its place in `done.terms`; the main one by default.
            factor: ask for the factor of that term instead, where it depends on the input too.

        Raises:
            ArgumentError: there is no such term.
        """
        chosen = self.main if term is None else term
        if chosen is None:
            return None
        if not 0 <= chosen < len(self.done.terms):
            raise ArgumentError(
                f"term={term}: the number has terms 0 to {len(self.done.terms) - 1}"
            )
        place = self.done.terms[chosen].by if factor else self.done.terms[chosen].source
        return explained(self._recording, place) if place else None

    def pixel(self, term: int | None = None) -> tuple[int, ...] | None:
        """The coordinates in an input that a term was read from, such as (C, Y, X); None if it was read elsewhere.

        Args:
            term: its place in `done.terms`; the main one by default.
        """
        chosen = self.main if term is None else term
        source = None if chosen is None else self.done.terms[chosen].source
        return source.at[1:] if source and source.value in self._recording.inputs else None

    def walk(self, terms: Sequence[int] = ()) -> "Walk":
        """Back to the pixels, from each number to one that it was made of.

        Args:
            terms: which term to follow at the first steps; from there on the main one.
        """
        steps: list[Explanation] = [self]
        while len(steps) <= LONGEST:
            chosen = terms[len(steps) - 1] if len(steps) <= len(terms) else None
            here = steps[-1]
            following = here.step(chosen)
            if following is None:
                return Walk(tuple(steps), _end(here, chosen), here.pixel(chosen))
            steps.append(following)
        return Walk(tuple(steps), "too many steps")

    def name(self, place: Place | None) -> str:
        """A place in words: the layer and the coordinates."""
        return _name(self._recording, place)

    def as_text(self) -> str:
        """Grids or a table of the terms, the sum, and the comparison with float64."""
        return _as_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `source` of a term is where it was read."""
        done = self.done
        return {
            "layer": self.path,
            "op": self.op,
            "at": list(self.at),
            "shape": list(self.shape),
            "value": self.value,
            "kind": done.kind,
            "rule": done.rule,
            "exact": done.exact,
            "difference": self.difference,
            "bound": done.bound,
            "within": self.within,
            "facts": dict(done.facts),
            "terms": [self._term(i) for i in range(len(done.terms))],
            "after": [{"layer": a.path, "op": a.op, "value": a.value} for a in self.after],
        }

    def _term(self, index: int) -> dict[str, Any]:
        term = self.done.terms[index]
        return {
            "input": term.input if abs(term.input) != float("inf") else None,
            "factor": term.factor,
            "product": term.product,
            "mark": term.mark,
            "channel": term.channel,
            "tap": list(term.tap),
            "source": self.name(term.source) if term.source else None,
        }

    def _repr_html_(self) -> str:
        return _as_html(self)


@dataclass(frozen=True, eq=False)
class Walk(Result):
    """The way from a number to a pixel: one explanation a step, and where it ended; the pixel, if it is one (C, Y, X)."""

    steps: tuple[Explanation, ...]
    end: str
    pixel: tuple[int, ...] | None = None

    def as_text(self) -> str:
        """One line a step."""
        lines = [
            f"{step.path or '(net)'} {step.op} {_shown_at(step.at)} = {step.value:.6g}: {step.done.rule}"
            for step in self.steps
        ]
        return "\n".join([*lines, self.end])

    def as_dict(self) -> dict[str, Any]:
        """Every step as its explanation is, and the end."""
        return {"steps": [step.as_dict() for step in self.steps], "end": self.end}

    def _repr_html_(self) -> str:
        return "".join(_as_html(step, folded=i > 0) for i, step in enumerate(self.steps)) + (
            f"<p>{self.end}</p>"
        )


def explain(
    net: nn.Module,
    x: Tensor | Sequence[Tensor],
    *,
    layer: str,
    at: Sequence[int],
    call: int = 0,
    item: int = 0,
) -> Explanation:
    """How one number of a layer's output came about.

    A copy of the net runs on the CPU in evaluation mode; the net itself is not touched.

    Args:
        net: any module.
        x: what it reads, with its batch axis; a list of tensors for several inputs.
        layer: by its name in `net.named_modules()`; "" is the net itself.
        at: coordinates in its output without the batch axis, such as (channel, row, column).
        call: which call of a layer that is called several times.
        item: which item of the batch.

    Raises:
        ArgumentError: there is no such layer or call, or the layer gives what it was given.
        ShapeError: `at` lies outside the output.
        UsageError: the net cannot be copied.
    """
    known = dict(net.named_modules(remove_duplicate=False))
    if layer not in known:
        raise ArgumentError(
            f"the net has no layer {layer!r}; {nearest(layer, filter(None, known))}"
        )
    recording = record(net, [x] if isinstance(x, Tensor) else x)
    first = {id(module): path for path, module in net.named_modules()}
    given = recording.returned.get(first[id(known[layer])], ())
    if not -len(given) <= call < len(given) or not given[call]:
        raise ArgumentError(
            f"call={call}: {layer or 'the net'} was called {len(given)} times on this input"
        )
    value = given[call][0]
    place = Place(value, _coordinates(value, at, item, layer))
    found = explained(recording, place)
    if found is None:
        raise ArgumentError(
            f"{layer or 'the net'} gives back what it was given: ask for a layer that computes"
        )
    return found


def _coordinates(value: Value, at: Sequence[int], item: int, layer: str) -> tuple[int, ...]:
    full = (item, *at)
    fits = len(full) == len(value.shape) and all(
        0 <= i < n for i, n in zip(full, value.shape, strict=True)
    )
    if not fits:
        raise ShapeError(misplaced(value.shape, at, item, layer or "the net"))
    return full


def explained(
    recording: Recording, place: Place, done: Arithmetic | None = None
) -> Explanation | None:
    """How one number of a recording came about; None for an input, a weight and a constant.

    Args:
        recording: of a run.
        place: where the number stands in it.
        done: its arithmetic, if that is known from before.
    """
    index = recording.maker(place.value)
    if index is None:
        return None
    step = Step(recording, index, place)
    return Explanation(
        step.call.path,
        step.call.op,
        place.at[1:],
        place.value.shape[1:],
        str(place.value.dtype).removeprefix("torch."),
        float(recording.numbers[place.value.index][place.at]),
        done or _arithmetic(step),
        tuple(_after(recording, place)),
        recording,
        place,
    )


def _arithmetic(step: Step) -> Arithmetic:
    rule = operation(step.call.op).explain
    return (rule(step) if rule else None) or smooth(step) or unknown(step)


def _alone(op: str) -> bool:
    return operation(op).explain in (explain_batch_norm, pointwise, exact_pointwise)


def _after(recording: Recording, place: Place) -> list[After]:
    found: list[After] = []
    for each in _following(recording, place):
        index = recording.maker(each.value)
        call = recording.calls[index or 0]
        number = float(recording.numbers[each.value.index][each.at])
        found.append(After(call.path, call.op, number))
    return found


def _following(recording: Recording, place: Place) -> Iterator[Place]:
    value = place.value
    while len(readers := recording.reading(value)) == 1:
        call = recording.calls[readers[0]]
        if not _alone(call.op) or call.outputs[0].shape != value.shape:
            return
        value = call.outputs[0]
        yield Place(value, place.at)


def _weight(term: Term) -> tuple[bool, float]:
    return term.mark == "taken", abs(term.product)


def _end(here: Explanation, chosen: int | None) -> str:
    index = here.main if chosen is None else chosen
    if index is None:
        return f"{here.op} is not followed further"
    term = here.done.terms[index]
    return f"{here.name(term.source)} = {term.input:.6g}"


def _name(recording: Recording, place: Place | None) -> str:
    if place is None:
        return "padding"
    maker = recording.maker(place.value)
    at = _shown_at(place.at[1:])
    if maker is not None:
        call = recording.calls[maker]
        return f"{call.path or call.op} {at}"
    if place.value in recording.inputs:
        number = recording.inputs.index(place.value)
        return f"input{f' {number}' if len(recording.inputs) > 1 else ''} {at}"
    return f"{place.value.params[0] if place.value.params else 'constant'} {_shown_at(place.at)}"


# In words and tables, for a terminal and for a notebook.


def _shown_at(at: Sequence[int]) -> str:
    return ",".join(map(str, at)) or "0"


def misplaced(shape: Sequence[int], at: Sequence[int], item: int, layer: str) -> str:
    """Why coordinates lie in no output of a shape, in one line."""
    count, *sides = shape
    if not 0 <= item < count:
        return f"item {item}: {layer} gives {counted(count, 'item')}, numbered from 0"
    axes = {1: " I", 2: " C,I", 3: " C,Y,X", 4: " C,Z,Y,X"}.get(len(sides), "")
    return (
        f"at={_shown_at(at)}: {layer} gives {times(sides)}, so a place is {counted(len(sides), 'number')}{axes}, "
        f"from {_shown_at([0] * len(sides))} to {_shown_at([side - 1 for side in sides])}"
    )


def _as_text(explanation: Explanation) -> str:
    lines = [_title(explanation), explanation.done.rule]
    if explanation.done.terms:
        lines += ["", *_terms_text(explanation, explanation.done), ""]
    lines += [f"{name} {number:.9g}" for name, number in explanation.done.facts.items()]
    return "\n".join([*lines, *_evidence(explanation), *_next(explanation)])


def _as_html(explanation: Explanation, *, folded: bool = False) -> str:
    parts = [f"<p>{html.escape(explanation.done.rule)}</p>"]
    if explanation.done.terms:
        parts.append(_terms_html(explanation, explanation.done))
    parts += [f"<p>{name} {number:.9g}</p>" for name, number in explanation.done.facts.items()]
    parts += [
        f"<p>{html.escape(line)}</p>" for line in (*_evidence(explanation), *_next(explanation))
    ]
    state = "" if folded else " open"
    return (
        f'{window_grids.STYLE}<details class="sa"{state}><summary>{html.escape(_title(explanation))}</summary>'
        f"{''.join(parts)}</details>"
    )


def _title(explanation: Explanation) -> str:
    size = times(explanation.shape)
    return f"{explanation.path or '(net)'} ({explanation.op}) at {_shown_at(explanation.at)} of {size} = {explanation.value:.9g}"


def _evidence(explanation: Explanation) -> list[str]:
    if explanation.done.kind == "unknown":
        return []
    lines = [
        f"PyTorch ({explanation.dtype}) {explanation.value:.9g}",
        f"again in float64 {explanation.done.exact:.12g}",
    ]
    if explanation.within is None or explanation.done.bound is None:
        return [
            *lines,
            f"they differ by {explanation.difference:.2g}; no bound of the rounding is known",
        ]
    verdict = "within" if explanation.within else "MORE THAN"
    return [
        *lines,
        f"they differ by {explanation.difference:.2g}, {verdict} the rounding bound {explanation.done.bound:.2g}",
    ]


def _next(explanation: Explanation) -> list[str]:
    return [
        f"then {after.path or '(net)'} ({after.op}): {after.value:.9g}"
        for after in explanation.after
    ]


def _terms_text(explanation: Explanation, done: Arithmetic) -> Iterator[str]:
    if not done.kernel:
        yield text_table(*_table(explanation, done))
        return
    for title, titled in _windows(explanation, done):
        yield title
        yield from (window_grids.as_text(row) for row in titled)
    yield from _sums(done)


def _terms_html(explanation: Explanation, done: Arithmetic) -> str:
    if not done.kernel:
        return html_table(*_table(explanation, done))
    blocks = [
        f"<p>{html.escape(title)}</p>"
        + "".join(f"<div>{window_grids.as_html(row)}</div>" for row in titled)
        for title, titled in _windows(explanation, done)
    ]
    lines = [
        line.replace("[ ] padding", "hatched: padding").replace("* taken", "framed: taken")
        for line in _sums(done)
    ]
    return "".join(blocks) + "".join(f"<p>{html.escape(line)}</p>" for line in lines)


Titled = list[tuple[str, window_grids.Grid]]


def _windows(explanation: Explanation, done: Arithmetic) -> Iterator[tuple[str, list[Titled]]]:
    found = window_grids.by_channel(done)
    sums = {channel: sum(t.product for t in terms) for channel, terms in found.items()}
    strongest = sorted(found, key=lambda channel: -abs(sums[channel]))[:CHANNELS]
    multiplied = any(term.factor != 1 for term in done.terms) and done.kind != "maximum"
    for channel in sorted(strongest, key=lambda c: -1 if c is None else c):
        terms = found[channel]
        read = next((explanation.name(t.source) for t in terms if t.source), "padding alone")
        whole = f"channel {channel}, from {read}"
        rows: list[Titled] = []
        for name, patch, kernel, products in window_grids.grids(done, terms):
            row = [(f"{name}read", patch)]
            rows.append([*row, ("kernel", kernel), ("products", products)] if multiplied else row)
        yield whole, rows


def _sums(done: Arithmetic) -> Iterator[str]:
    marks = {term.mark for term in done.terms} - {""}
    legend = [text for mark, text in MARKS.items() if mark in marks]
    if any(step > 1 for step in done.dilation):
        legend.append("· skipped by the dilation")
    if legend:
        yield "; ".join(legend)
    found = window_grids.by_channel(done)
    if len(found) > 1:
        each = [f"{c}: {short(sum(t.product for t in terms))}" for c, terms in found.items()]
        yield f"products summed by channel: {some(each, 24)}"


def _table(explanation: Explanation, done: Arithmetic) -> tuple[list[str], list[list[str]]]:
    order = sorted(done.terms, key=lambda term: -abs(term.product))
    rows = [
        [
            explanation.name(t.source) if t.source else t.mark or "number",
            *map(short, (t.input, t.factor, t.product)),
        ]
        for t in order[:TERMS]
    ]
    if order[TERMS:]:
        rest = sum(term.product for term in order[TERMS:])
        rows.append([f"{len(order) - TERMS:,} more", "", "", short(rest)])
    return ["read", "number", "factor", "product"], rows
