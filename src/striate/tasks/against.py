"""Whether a net is better than answers that need none: in one line, and as cells of a table."""

from collections.abc import Mapping

from striate.metrics import Interval
from striate.text import number

LOSES = ("is no better than", "loses to")  # where an interval holds 0, and where it does not


def verdict(gains: Mapping[str, Interval], noun: str, unit: str = "") -> str:
    """What the gains over answers without a net say; "" where there are none.

    Args:
        gains: by what each answer is called; above 0 is in favour of the net.
        noun: what is answered, such as "a forecast".
        unit: of a gain.
    """
    if not gains:
        return ""
    worse = {name: gain for name, gain in gains.items() if gain.value <= 0}
    lost = {name: gain for name, gain in worse.items() if gain.high < 0 or not gain.known}
    even = {name: gain for name, gain in worse.items() if name not in lost}
    said = [
        f"{words} {' and '.join(f'{name} (by {_gap(gain, unit)})' for name, gain in group.items())}"
        for words, group in zip(reversed(LOSES), (lost, even), strict=True)
        if group
    ]
    if said:
        return (
            f"{' and '.join(said)}: {noun} that needs no net does {'better' if lost else 'as well'}"
        )
    doubtful = [name for name, gain in gains.items() if not gain.low > 0]
    if doubtful:
        return f"better than {', '.join(gains)}, but from {' and '.join(doubtful)} it is not told apart for certain"
    least, gain = min(gains.items(), key=lambda pair: pair[1].value)
    return f"better than {', '.join(gains)}; than {least} by {_gap(gain, unit)}"


def cells(found: Interval) -> list[str | None]:
    """A value and the ends of its interval, as three cells of a table."""
    ends = [number(found.low), number(found.high)] if found.known else [None, None]
    return [number(found.value), *ends]


def _gap(gain: Interval, unit: str) -> str:
    """The size of a difference with its interval."""
    size = f"{number(abs(gain.value))} {unit}".strip()
    if not gain.known:
        return size
    low, high = (gain.low, gain.high) if gain.value > 0 else (-gain.high, -gain.low)
    return f"{size}, 95 % interval {number(low)} to {number(high)}"
