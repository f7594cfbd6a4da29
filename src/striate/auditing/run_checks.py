"""An audit: every check asked of a run and its data, and the answers kept beside the run."""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.auditing.check import Case, Check
from striate.auditing.checks import CHECKS
from striate.auditing.finding import Finding
from striate.data import Data
from striate.errors import ArgumentError, CheckpointError, StriateError, UsageError, nearest
from striate.metrics.scores import cells
from striate.result import Result, text_table
from striate.runs import Run
from striate.runs.folder import read_json, unsealed, write_sealed
from striate.runs.split_answers import write_table
from striate.text import counted, duration

VERSION = 6  # of what the checks measure: findings of another one are measured anew
LABELS = "labels"  # the check whose findings are corrections
FIXES = ("file", "action", "value", "was", "margin", "split")  # the columns of a file of those
ORDER = {"fail": 0, "note": 1, "pass": 2, "skipped": 3}


@dataclass(frozen=True)
class Audit(Result):
    """All findings on a run and data.

    Attributes:
        run: its folder; "" of an audit of data alone.
        data: where the items came from.
        split: what was judged.
        items: how many those are.
        findings: the worst first.
        seconds: that the audit took.
    """

    run: str
    data: str
    split: str
    items: int
    findings: tuple[Finding, ...]
    seconds: float = 0.0

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The gates that failed."""
        return tuple(each for each in self.findings if each.severity == "fail")

    @property
    def verdict(self) -> str:
        """The audit in one sentence."""
        kinds = [each.severity for each in self.findings]
        asked = len(kinds) - kinds.count("skipped")
        notes = f"{counted(kinds.count('note'), 'note')}, {kinds.count('skipped')} skipped"
        if self.failed:
            names = ", ".join(dict.fromkeys(each.check for each in self.failed))
            return f"failed: {names}; {notes}"
        return f"passed: no gate failed in {counted(asked, 'finding')}; {notes}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON shape `audit`."""
        return {
            "run": self.run,
            "data": self.data,
            "split": self.split,
            "items": self.items,
            "findings": [each.as_dict() for each in self.findings],
            "verdict": self.verdict,
            "seconds": round(self.seconds, 1),
        }

    def as_text(self) -> str:
        """A row a finding, then what to do about those that are beyond their limits."""
        rows = [[each.severity, each.check, *_value(each), each.text] for each in self.findings]
        table = text_table(["", "check", "value", "low", "high", "finding"], rows)
        advice = [
            f"{each.check}: {each.advice}"
            for each in self.findings
            if each.severity in ("fail", "note") and each.advice
        ]
        of = f"{self.run or self.data}, {self.split}, {counted(self.items, 'item')}, in {duration(self.seconds)}"
        return "\n".join([self.verdict, of, "", table, *(["", *advice] if advice else [])])


def audit(
    run: Run | None,
    data: Data,
    checks: Sequence[Check],
    *,
    gates: Collection[str] = (),
    split: str | None = None,
    budget: float | None = 180.0,
    seed: int = 0,
    say: Callable[[str], None] = lambda _words: None,
) -> Audit:
    """Ask checks of a run and data.

    Args:
        run: a trained run; None to ask what needs no net.
        data: what to judge it on, opened; items that it did not learn from.
        checks: as `chosen` gives them.
        gates: names of checks that fail the audit beside those that always do.
        split: which part; test, else val, else the first there is.
        budget: about how many seconds; None for no limit.
        seed: of every draw.
        say: gets lines on what is asked, and about how long it takes.

    Raises:
        ArgumentError: a split that does not exist, or no time.
        DataError: the data are for another task, no such inputs, or have classes that the run does not know.
    """
    if budget is not None and not budget > 0:
        raise ArgumentError(f"budget={budget:g}s: expected more than no time")
    begun = time.monotonic()
    judged = split or data.judged
    if judged not in data.splits:
        raise ArgumentError(f"split={judged}: {data.path} has {', '.join(data.splits)}")
    if run is not None:
        data = run.prepared(data, judged)
    case = Case(run, data, judged, seed, budget, say)
    kept = _Kept.of(case)
    findings = [found for check in checks for found in _asked(case, check, gates, kept)]
    findings.sort(key=lambda each: ORDER[each.severity])
    return Audit(
        str(run.path) if run else "",
        data.path,
        judged,
        len(data.splits[judged]),
        tuple(findings),
        time.monotonic() - begun,
    )


def chosen(
    only: Iterable[str], skip: Iterable[str], *, with_net: bool, gates: Iterable[str] = ()
) -> list[Check]:
    """The checks to ask, in their order.

    Args:
        only: names of checks: no others; all, if there are none.
        skip: names of checks to leave out.
        with_net: whether there is a net to ask about.
        gates: names that must be those of checks too.

    Raises:
        ArgumentError: a name that none has.
    """
    only, skip = set(only), set(skip)
    for name in (*only, *skip, *gates):
        if name not in CHECKS:
            raise ArgumentError(f"no check is called {name!r}; {nearest(name, CHECKS)}")
    wanted = only or set(CHECKS)
    return [
        check
        for name, check in CHECKS.items()
        if name in wanted and name not in skip and (with_net or not check.needs_run)
    ]


def _asked(case: Case, check: Check, gates: Collection[str], kept: "_Kept") -> list[Finding]:
    """The findings of one check, those that are kept from an earlier audit as they are."""
    gate = check.gate or check.name in gates
    if (found := kept.of_check(check.name)) is not None:
        case.say(f"{check.name}: kept from an earlier audit")
        return [each.judged(gate=gate) for each in found]
    if reason := check.lacks(case):
        return [Finding.skipped(check.name, reason)]
    case.say(f"{check.name}: about {duration(check.seconds(case))}")
    begun = time.monotonic()
    try:
        found = list(check.find(case))
    except StriateError as error:
        return [Finding.skipped(check.name, str(error))]
    taken = time.monotonic() - begun
    found = [replace(each, seconds=taken).judged(gate=gate) for each in found]
    kept.add(check.name, found)
    return found


@dataclass
class _Kept:
    """Findings of earlier audits of the same run, data and settings; of none where the run cannot be written."""

    path: Path | None
    found: dict[str, list[Mapping[str, Any]]]

    @classmethod
    def of(cls, case: Case) -> "_Kept":
        """Those of a case."""
        if case.run is None:
            return cls(None, {})
        settings = [
            VERSION,
            case.run.config.weights,
            case.data.mark(case.split),
            case.seed,
            case.seconds,
        ]
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        path = case.run.path / "evaluations" / f"audit-{key}.json"
        try:
            found = unsealed(read_json(path), path, needed=True)["checks"] if path.exists() else {}
        except (CheckpointError, KeyError, TypeError):  # damaged, or of a version that sealed none
            found = {}
        return cls(path, found)

    def of_check(self, name: str) -> list[Finding] | None:
        """What was found; None where it was not asked."""
        with suppress(KeyError, TypeError, ValueError):
            return [Finding.of(row) for row in self.found[name]]
        return None

    def add(self, name: str, findings: Sequence[Finding]) -> None:
        """Keep what was found, where that can be written."""
        self.found[name] = [each.as_dict() for each in findings]
        if self.path is None:
            return
        with suppress(OSError, CheckpointError):
            self.path.parent.mkdir(exist_ok=True)
            write_sealed(self.path, {"checks": self.found})


def _value(finding: Finding) -> list[str]:
    if finding.value.value != finding.value.value:
        return ["", "", ""]
    return list(cells(finding.unit, finding.value))


def write_fixes(path: Path, found: Audit) -> int:
    """Write the suspected labels of an audit as rows to relabel, the surest first, and say how many those are.

    The check `labels` may be wrong, so nothing is corrected by itself: a person deletes what is wrong, or changes its
    action or value, before `striate train DATA fixes=FILE`.

    Args:
        path: of the file.
        found: an audit in which the check `labels` was asked.

    Raises:
        UsageError: the check was not made; the message says why.
    """
    asked = [each for each in found.findings if each.check == LABELS]
    if not asked:
        raise UsageError(f"--fixes {path} takes what the check {LABELS} finds: it was not asked")
    if asked[0].severity == "skipped":
        raise UsageError(
            f"--fixes {path} takes what the check {LABELS} finds: it was skipped, {asked[0].text}"
        )
    rows = [
        (row["file"], "relabel", row["rather"], row["label"], f"{row['margin']:.3f}", row["split"])
        for each in asked
        for row in each.evidence
        if "rather" in row
    ]
    if not rows and any(each.evidence for each in asked):
        raise UsageError(
            f"--fixes {path} takes labels of items; of masks and boxes the report says which: correct their files"
        )
    write_table(path, FIXES, rows)
    return len(rows)
