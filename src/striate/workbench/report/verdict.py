"""What a training has come to: one sentence and the next command, from a table of rules on plain facts.

`RULES` is the table, in order of weight: the first finding that asks for something is the verdict, the others are listed
below it. A rule is a function of `Evidence` that gives a `Finding`, or None where it does not apply.
"""

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from striate.metrics import Interval
from striate.metrics.scores import is_share, shown
from striate.text import DASH, percent

FALLS = 0.01  # of the loss in the last epoch, above which the training has not ended
NEAR = 0.99  # of a share, from which on more epochs are no advice that leads
MODEST = 0.5  # of a share, below which a net is not called ready
GAP = 0.05  # between the shares of training and held-out items that are right, up to which a net needs no help
FEWEST = 50  # items below which no net is told from another
AGAIN = 10  # epochs that are advised at least

# How the result is shown: large where it can be relied on, small where there is more to do or nothing is known.
Tone = Literal["good", "open", "weak"]


@dataclass(frozen=True)
class Began:
    """What a training went on from.

    Attributes:
        words: such as "torchvision/resnet18" or a run's folder.
        before: the score with these weights, before the training; None where it is not known.
        after: the score of the same items after it.
        items: how many, and what they are called.
        how: what was answered before the training: "its first weights", or a linear layer on them.
    """

    words: str
    before: float | None = None
    after: float | None = None
    items: str = ""
    how: str = ""


@dataclass(frozen=True)
class Evidence:
    """The facts that rules read.

    Attributes:
        score: the name of the one that leads the report.
        title: what it is called within a sentence.
        value: of the held-out items; nan where it is not known.
        lower: whether less of it is better.
        items: that it is of.
        noun: what they are called, plural.
        split: of which split they are, in words.
        constant: the same score of always giving the same answer, or of the best forecast without a net.
        trained: the same score of the training items at the kept epoch.
        losses: of the training, an epoch each; None where it was not computed.
        held_losses: of the held-out items, likewise.
        budget: seconds that the training was given in place of epochs.
        command: that trains the same again.
        run: the folder, as a command takes it.
        rate: the largest learning rate.
        published: published weights of the net that were not used.
        augment: the random views of the training, as its recipe says them.
        pictures: whether items are pictures.
        began: what it went on from.
        own: the net is the user's own and must be named again.
        onward: what is typed where nothing stands against the result; predicting if not given.
    """

    score: str
    title: str
    value: Interval
    items: int
    noun: str = "pictures"
    split: str = "held-out"
    lower: bool = False
    constant: float | None = None
    trained: float | None = None
    losses: Sequence[float | None] = ()
    held_losses: Sequence[float | None] = ()
    budget: float | None = None
    command: str = "striate train DATA"
    run: str = "RUN"
    rate: float | None = None
    published: str = ""
    augment: str = "none"
    pictures: bool = True
    began: Began | None = None
    own: bool = False
    onward: str = ""

    @property
    def epochs(self) -> int:
        """That were trained."""
        return len(self.losses)

    def written(self, value: float) -> str:
        """A value of the score."""
        return DASH if math.isnan(value) else shown(self.score, value)

    def better(self, one: float, other: float) -> bool:
        """Whether one value of the score is better than another."""
        return one < other if self.lower else one > other


class Finding(NamedTuple):
    """What a rule says: a sentence, the next command if there is one, and how the result is shown."""

    words: str
    command: str = ""
    tone: Tone = "open"


class Verdict(NamedTuple):
    """The first finding, and the others."""

    first: Finding
    others: Sequence[Finding] = ()


def judged(evidence: Evidence) -> Verdict:
    """What the rules say of a training."""
    found = [finding for rule in RULES if (finding := rule(evidence))]
    first = next((one for one in found if one.tone != "good"), settled(evidence))
    return Verdict(first, [one for one in found if one is not first])


# ---------------------------------------------------------------------------------------- the rules


def unknown(e: Evidence) -> Finding | None:
    """No item was held out, or none has the score."""
    if e.items and not math.isnan(e.value.value):
        return None
    words = f"No {e.split} item tells how good this net is: its {e.title} is not known."
    return Finding(words, again(e.command, val="0.2"), "weak")


def diverged(e: Evidence) -> Finding | None:
    """The last loss of the training is no number."""
    last = next((loss for loss in reversed(e.losses) if loss is not None), None)
    if last is None or math.isfinite(last):
        return None
    slower = again(e.command, lr=f"{e.rate / 10:.2g}") if e.rate else ""
    words = "The loss ended as no number: the learning rate was too large for this net."
    return Finding(words, slower, "weak")


def few(e: Evidence) -> Finding | None:
    """Too few items to judge by."""
    if not 0 < e.items < FEWEST:
        return None
    low, high = e.written(e.value.low), e.written(e.value.high)
    spread = f" from {low} to {high}" if e.value.known else " anywhere"
    words = (
        f"Only {e.items} {e.split} {e.noun} judge it, fewer than {FEWEST}: the {e.title} may lie{spread}, and a few of them "
        "decide it. Collect more, or hold more of them out."
    )
    fixed = e.split == "test" or "--folds" in e.command  # how many are held out
    return Finding(words, "" if fixed else again(e.command, val="0.4"), "weak")


def useless(e: Evidence) -> Finding | None:
    """The score is not above that of a constant answer, or its interval reaches it."""
    if e.constant is None or math.isnan(e.constant) or math.isnan(e.value.value):
        return None
    v = e.value
    least = v.value if not v.known else v.high if e.lower else v.low
    if e.better(least, e.constant):
        return None
    beaten = (
        "is no better than" if not e.better(v.value, e.constant) else "is not clearly better than"
    )
    spread = f" ({e.written(v.low)} to {e.written(v.high)})" if v.known else ""
    words = (
        f"It {beaten} an answer without a net: {e.title} {e.written(v.value)}{spread}, against {e.written(e.constant)} for "
        "that."
    )
    longer_or_rate = _longer(e) if _still_falls(e) else f"{again(e.command)} --find-lr"
    return Finding(words, longer_or_rate, "weak")


def unfinished(e: Evidence) -> Finding | None:
    """The loss still falls by more than `FALLS` in the last epoch and the held-out items do not get worse, or there was one epoch alone."""
    if _perfect(e):
        return None
    if e.epochs == 1:
        words = "One epoch does not show where the training would end: train for more of them."
        return Finding(words, _longer(e))
    fallen = _still_falls(e)
    if fallen is None:
        return None
    words = (
        f"Not trained to its end: the loss still fell by {percent(fallen)} in the last of {_epochs(e.epochs)}. "
        "More of them will probably give a better net."
    )
    near = is_share(e.score) and not e.lower and e.value.value >= NEAR
    return Finding(words, _longer(e), "good" if near else "open")


def overfitted(e: Evidence) -> Finding | None:
    """The training items are answered better than the held-out interval allows."""
    if e.trained is None or not e.value.known:
        return None
    best = e.value.low if e.lower else e.value.high
    if not e.better(e.trained, best):
        return None
    close = is_share(e.score) and abs(e.trained - e.value.value) <= GAP
    words = (
        f"It knows its training {e.noun} better than new ones: {e.title} {e.written(e.trained)} there, "
        f"{e.written(e.value.value)} here ({e.written(e.value.low)} to {e.written(e.value.high)}). More {e.noun} help most, "
        "then more varied ones."
    )
    return Finding(words, "" if close else _against_overfitting(e), "good" if close else "open")


def fine_tuned(e: Evidence) -> Finding | None:
    """What it went on from, and what that was worth on the same items."""
    if e.began is None:
        return None
    b = e.began
    if b.before is None or b.after is None:
        words = f"Fine-tuned from {b.words}; how these weights answer alone is not known, for its last layer is new."
        return Finding(words, tone="good")
    words = (
        f"Fine-tuned from {b.words}: {e.title} {e.written(b.before)} before ({b.how}), {e.written(b.after)} after, both on "
        f"the same {b.items}."
    )
    if e.better(b.after, b.before):
        return Finding(words, tone="good")
    if e.value.known and e.value.low <= b.before <= e.value.high:
        return Finding(f"{words} That is no more than chance would change.", tone="good")
    slower = again(e.command, lr=f"{e.rate / 10:.2g}") if e.rate else ""
    return Finding(f"{words} The training did harm.", slower)


def settled(e: Evidence) -> Finding:
    """Nothing stands against it."""
    spread = f" ({e.written(e.value.low)} to {e.written(e.value.high)})" if e.value.known else ""
    over = (
        f", against {e.written(e.constant)} for an answer without a net"
        if e.constant is not None
        else ""
    )
    modest = is_share(e.score) and not e.lower and e.value.value < MODEST
    head = "No mistake" if _perfect(e) else "Modest" if modest else "Ready to be tried"
    words = f"{head}: {e.title} {e.written(e.value.value)}{spread} on {e.items:,} {e.split} {e.noun}{over}."
    named = " --net package.module:factory" if e.own else ""
    return Finding(
        words,
        e.onward or f"striate predict {shlex.quote(e.run)} FILE{named}",
        "open" if modest else "good",
    )


RULES: tuple[Callable[[Evidence], Finding | None], ...] = (
    unknown,
    diverged,
    useless,
    few,
    unfinished,
    overfitted,
    fine_tuned,
)


# ----------------------------------------------------------------------------------- what they use


def again(command: str, **changes: str) -> str:
    """A command of `striate train` with other settings, in place of those that it has.

    >>> again("striate train digits --net lenet5 epochs=2", epochs="10")
    'striate train digits --net lenet5 epochs=10'
    """
    words = [word for word in shlex.split(command) if word.partition("=")[0] not in changes]
    return shlex.join([*words, *(f"{key}={value}" for key, value in changes.items())])


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def _perfect(e: Evidence) -> bool:
    return is_share(e.score) and not e.lower and e.value.value >= 1


def fall(losses: Sequence[float | None]) -> float | None:
    """By which share a loss fell from the last epoch but one to the last; None where that is not known."""
    known = [loss for loss in losses if loss is not None]
    if len(known) < 2 or not all(map(math.isfinite, known[-2:])) or known[-2] <= 0:
        return None
    return 1 - known[-1] / known[-2]


def _still_falls(e: Evidence) -> float | None:
    """The share by which the training's loss fell at the end, where that of the held-out items fell so too."""
    trained, held = fall(e.losses), fall(e.held_losses)
    if trained is None or trained <= FALLS or (held is not None and held <= FALLS):
        return None
    return trained


def _longer(e: Evidence) -> str:
    if e.budget is not None:
        return again(e.command, budget=f"{2 * e.budget:.0f}s")
    return again(e.command, epochs=f"{max(AGAIN, 2 * e.epochs)}")


def _against_overfitting(e: Evidence) -> str:
    if e.published:
        return again(e.command, weights="published")
    if not e.pictures:
        return ""
    more = [word for word in ("rotate", "scale") if word not in e.augment]
    kept = [] if e.augment in ("", "none") else [e.augment]
    return again(e.command, augment="+".join([*kept, *more])) if more else ""
