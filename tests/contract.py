"""Two checkouts of this repository compared: does NEW compute, print and refuse what OLD did?

    python tests/contract.py OLD NEW [--only trainings] [--only measure] ...

One line a comparison, and a verdict; exit status 1 where something differs. Parts:

    trainings   small trainings with `plan=default`: weights to the bit, results.csv and items.csv by their columns
    measure     the sheet of every net of the catalogue at its own input
    report      the numbers of the report of the demo's training, with `plan=default`; what `striate demo` prints
    json        what the commands print with --json, and their exit status
    runs        runs and a checkpoint that OLD wrote, used by NEW
    errors      messages that OLD's tests match and that are no longer found in NEW's source: to look at, no failure

Both run under this interpreter with one thread, on the CPU, in folders and caches of their own. Only the
command line, the Python names of `striate` and the files of run folders are used. Keys, columns and numbers
that NEW adds are listed as notes. What is volatile (times) is in VOLATILE. No speed: see benchmarks/checkouts.py.
"""

import argparse
import ast
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VOLATILE = {"seconds", "items_per_second", "waiting", "training time"}
LIMIT = 900  # seconds that a command may take

DIGITS = (
    "digits --net lenet5 size=28 batch=8 epochs=3 val=0.2 split=stratified health=1 seed=1".split()
)
COLOURS = (
    "--net resnet20 width=0.25 size=24 batch=16 epochs=3 val=0.25 split=stratified seed=2".split()
)
MIXED = (
    "optimizer=sgd lr=0.05 nesterov=true schedule=cosine warmup=0.2 ema=0.9 smoothing=0.1".split()
)
ALL = ["plan=default", "device=cpu"]

TRAININGS = {
    "plain": [*DIGITS, *ALL],
    "resumed": [*DIGITS, *ALL],
    "two processes": [*DIGITS, "devices=2", *ALL],
    "streamed": ["colours", *COLOURS, "augment=crop+flip", "workers=2", *ALL],
    "shards": ["packed", *COLOURS, "augment=crop+flip", "window=2", *ALL],
    "mixup, EMA, SGD": ["colours", *COLOURS, *MIXED, "augment=crop+flip+mixup:0.2", *ALL],
    "demo": ["digits", "--net", "lenet5", *ALL],
}
STREAMS = {"streamed", "shards"}  # with a cache that holds nothing

COMMANDS = {
    "nets": "nets --json",
    "data digits": "data digits --json",
    "data of a folder": "data colours --val 0.25 --seed 3 --json",
    "data of shards": "data packed --json",
    "evaluate": "evaluate RUN --json",
    "evaluate, train": "evaluate RUN --split train --json",
    "evaluate other data": "evaluate COLOUR colours --json",
    "predict": "predict RUN five.png --json",
    "predict, colour": "predict COLOUR colours/red --top 2 --json",
    "predict, one broken": "predict RUN five.png broken.png --json",
    "measure": "measure resnet18 --input 3x64x64 --json",
    "measure several": "measure lenet5 resnet20 --json",
    "measure at sizes": "measure resnet20 --at 32,64 --json",
    "measure a run": "measure RUN --json",
    "measure training": "measure lenet5 --training --json",
    "see architecture": "see architecture lenet5 --json",
    "see arithmetic": "see arithmetic RUN five.png --layer conv2 --at 3,2,1 --json",
    "see convolution": "see convolution --input 2x5x5 --kernel 3 --stride 2 --pad 1 --json",
    "see history": "see history depth --json",
    "folds": "train digits --net lenet5 size=28 epochs=1 --folds 3 --name folds plan=default --json",
    "unknown net": "measure resnet19 --json",
    "unknown setting": "train digits epoch=3",
    "unknown data": "data nowhere --json",
    "no run": "evaluate nowhere --json",
}


class FailedError(Exception):
    """A command that had to work did not."""


@dataclass(frozen=True)
class Checkout:
    """A checkout and the folder in which its commands run."""

    name: str
    root: Path
    folder: Path

    def run(self, words: Sequence[str], **extra: str) -> "subprocess.CompletedProcess[str]":
        """This interpreter with these words; `extra` are variables of its environment."""
        process = self.start(words, **extra)
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise FailedError(f"{self.name}: {' '.join(words)}: over {LIMIT} s") from None
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def start(self, words: Sequence[str], **extra: str) -> "subprocess.Popen[str]":
        """The same, going on."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("STRIATE_")}
        cache = str(self.folder / "cache")
        own |= {
            "PYTHONPATH": str(self.root / "src"),
            "STRIATE_CACHE": cache,
            "XDG_CACHE_HOME": cache,
        }
        own |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.folder,
            env=own | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def striate(self, *words: str, **extra: str) -> str:
        """What a command prints.

        Raises:
            FailedError: it leaves with another status than 0.
        """
        done = self.run(["-m", "striate", *words], **extra)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
            raise FailedError(
                f"{self.name}: striate {' '.join(words)}: exit {done.returncode}: {last}"
            )
        return done.stdout


@dataclass
class Tally:
    """What was compared, told as it comes."""

    checkouts: tuple[Checkout, Checkout]
    same: int = 0
    different: list[str] = field(default_factory=list[str])

    def compare(
        self,
        name: str,
        produce: Callable[[Checkout], Any],
        differences: Callable[[Any, Any], tuple[list[str], list[str]]],
    ) -> None:
        """One line: what `produce` gives of both, by `differences` (what differs, what is new)."""
        try:
            old, new = (produce(here) for here in self.checkouts)
            found, notes = differences(old, new)
        except FailedError as error:
            found, notes = [str(error)], []
        say(f"{'DIFFERENT' if found else 'same':10}{name}")
        for line in shortened(found):
            say(f"            {line}")
        for line in shortened(notes):
            say(f"            note: {line}")
        self.same += not found
        self.different += [name] if found else []


def say(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def shortened(lines: Sequence[str], most: int = 8) -> list[str]:
    """The first of many lines, and how many there are."""
    more = len(lines) - most
    return [*lines[:most], *([f"... and {more} more"] if more > 0 else [])]


# --- What is trained on ---------------------------------------------------------------------------


def make_pictures(folder: Path) -> None:
    """`colours/`: three classes of forty noisy pictures; a digit; a file that is no picture."""
    rng = np.random.default_rng(5)
    for channel, label in enumerate(("red", "green", "blue")):
        (folder / "colours" / label).mkdir(parents=True)
        for i in range(40):
            picture = rng.integers(0, 150, (32, 32, 3), np.uint8)
            top, left = rng.integers(2, 14, 2)
            picture[top : top + 14, left : left + 14, channel] += 90
            Image.fromarray(picture).save(folder / "colours" / label / f"{i:02d}.png")
    five = np.zeros((8, 8), np.uint8)
    five[1, 2:6] = five[1:4, 2] = five[3, 2:5] = five[3:6, 5] = five[6, 2:5] = 230
    Image.fromarray(five).save(folder / "five.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")


def trained(here: Checkout, training: str) -> Path:
    """The run folder of one of TRAININGS, which is trained when it is first asked for."""
    name = re.sub(r"\W+", "-", training)
    done = sorted(here.folder.glob(f"runs/*/{name}/report.html"))
    if not done:
        words = ["train", *TRAININGS[training], "--name", name]
        if training == "shards":
            packing = ("--shards", "packed", "--shard-size", "20k", "--val", "0.25", "--seed", "2")
            here.striate("data", "colours", *packing)
            words = [word for word in words if not word.startswith("val=")]
        if training == "resumed":
            interrupt(here, words, name)
        else:
            extra = {"STRIATE_CACHE_GB": "0"} if training in STREAMS else {}
            here.striate(*words, **extra)
        done = sorted(here.folder.glob(f"runs/*/{name}/report.html"))
    if not done:
        raise FailedError(f"{here.name}: training {training}: no runs/*/{name}/report.html")
    return done[0].parent


def interrupt(here: Checkout, words: Sequence[str], name: str) -> None:
    """Train, stop in the middle of the second of three epochs with SIGINT, and go on to the end."""
    epoch = last_step(trained(here, "plain")) // 3
    for _ in range(5):
        process = here.start(["-m", "striate", *words])
        while process.poll() is None and health_step(here.folder, name) < 1.3 * epoch:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=LIMIT)[1]
        runs = list(here.folder.glob(f"runs/*/{name}"))
        if not runs or process.returncode not in (0, 130):
            raise FailedError(
                f"{here.name}: interrupted: exit {process.returncode}: {error[-300:]}"
            )
        if last_step(runs[0]) % epoch:
            here.striate("train", "--resume", str(runs[0].relative_to(here.folder)))
            return
        shutil.rmtree(runs[0])  # the signal came between two epochs, or after the last
    raise FailedError(f"{here.name}: five trainings could not be stopped within an epoch")


def last_step(run: Path) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    return max((int(path.name[5:]) for path in run.glob("checkpoints/step-*")), default=0)


def health_step(folder: Path, name: str) -> int:
    """The last step in health.csv."""
    for path in folder.glob(f"runs/*/{name}/health.csv"):
        first = path.read_text().rpartition("\n")[0].rpartition("\n")[2].partition(",")[0]
        return int(first) if first.isdecimal() else 0
    return 0


# --- How things are compared ----------------------------------------------------------------------


def tensors(run: Path) -> dict[str, str]:
    """Of every tensor of model.safetensors the SHA-256 of its kind, shape and bytes."""
    content = (run / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found: dict[str, str] = {}
    for name, about in json.loads(content[8:start]).items():
        if name != "__metadata__":
            low, high = (start + offset for offset in about["data_offsets"])
            form = f"{about['dtype']} {about['shape']} ".encode()
            found[name] = hashlib.sha256(form + content[low:high]).hexdigest()[:16]
    return found


def table(path: Path) -> dict[str, list[str]]:
    """The columns of a CSV file, those of times left out.

    Raises:
        FailedError: there is no such file.
    """
    if not path.is_file():
        raise FailedError(f"{path}: there is none")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in rows[0] if key not in VOLATILE}


def by_keys(old: Any, new: Any) -> tuple[list[str], list[str]]:
    """What differs of two JSON documents, and the keys that only the new one has."""
    found = list(unequal(old, new, ""))
    added = [text for text in found if text.endswith(" is new")]
    notes = Counter(re.sub(r"\[\d+\]", "[]", text) for text in added)
    gone = [text for text in found if not text.endswith(" is new")]
    return gone, [f"{text} ({count} times)" if count > 1 else text for text, count in notes.items()]


def unequal(old: Any, new: Any, at: str) -> Iterator[str]:
    """Lines that name what differs, or is new."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{at}.{key} is new" for key in new if key not in old)
        for key in old:
            if key not in new:
                yield f"{at}.{key} is gone"
            elif key not in VOLATILE:
                yield from unequal(old[key], new[key], f"{at}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from unequal(one, other, f"{at}[{i}]")
    elif repr(old) != repr(new):  # also NaN, and 1 for 1.0
        yield f"{at}: {repr(old)[:80]} became {repr(new)[:80]}"


class Numbers(HTMLParser):
    """The numbers of a page's text, times left out: drawings and tables count, style and footer do not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.inside: list[str] = []  # open tags whose text is passed over
        self.tag = ""
        self.column = 0
        self.heads: list[str] = []  # of the table
        self.term = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script", "time", "nav", "footer"):
            self.inside.append(tag)
        if tag in ("table", "thead"):
            self.heads = []
        if tag == "tr":
            self.column = -1
        if tag in ("th", "td"):
            self.column += 1
        self.tag = tag

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)
        if tag in ("table", "dd"):
            self.heads, self.term = [], ""

    def handle_data(self, data: str) -> None:
        words = data.strip()
        if self.tag == "th" and words and len(self.heads) == self.column:
            self.heads.append(words)
        if self.tag == "dt" and words:
            self.term = words
        here = self.heads[self.column] if self.tag == "td" and self.column < len(self.heads) else ""
        if not self.inside and not {here, self.term} & VOLATILE:
            self.found.update(re.findall(r"(?<![\w.])[\d,]*\.?\d+(?:e[−-]?\d+)?(?!\w)", data))


def numbers(page: str) -> Counter[str]:
    """How often each number stands in the text of a page."""
    return Numbers(page).found


def by_counts(old: Counter[str], new: Counter[str]) -> tuple[list[str], list[str]]:
    """Numbers that are gone, and those that are new; the order does not matter."""
    gone, added = old - new, new - old
    notes = [f"{added.total()} more numbers: {' '.join(sorted(added))[:200]}"] if added else []
    return [f"{number} is gone ({count} times)" for number, count in sorted(gone.items())], notes


# --- The parts ------------------------------------------------------------------------------------


def trainings(tally: Tally) -> None:
    for training in TRAININGS:
        if training == "demo":
            continue
        tally.compare(
            f"weights: {training}", lambda here: tensors(trained(here, training)), by_keys
        )  # noqa: B023 - called at once
        for name in ("results.csv", "items.csv"):
            tally.compare(
                f"{name}: {training}", lambda here: table(trained(here, training) / name), by_keys
            )  # noqa: B023 - called at once
    old, new = tally.checkouts
    for here in (old, new):
        goes_on = lambda one: tensors(trained(here, "plain" if one is old else "resumed"))  # noqa: B023, E731 - called at once
        tally.compare(f"weights: {here.name}, whole and resumed", goes_on, by_keys)


SHEETS = """
import json, sys, striate
def sheet(name):
    try:
        return striate.measure(name).as_dict()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
print(json.dumps({name: sheet(name) for name in sys.argv[1:]}))
"""


def measure(tally: Tally) -> None:
    old, new = tally.checkouts
    names = [row["name"] for row in json.loads(old.striate("nets", "--json"))]
    sheets: dict[str, Any] = {}
    for here in (old, new):
        done = here.run(["-c", SHEETS, *names])
        sheets[here.name] = json.loads(done.stdout) if done.returncode == 0 else {}
        if done.returncode:
            say(f"            {here.name}: {done.stderr[-300:]}")
    for name in names:
        tally.compare(f"measure {name}", lambda here: sheets[here.name].get(name), by_keys)  # noqa: B023 - called at once


def report(tally: Tally) -> None:
    def page(here: Checkout) -> Counter[str]:
        return numbers((trained(here, "demo") / "report.html").read_text())

    def summary(here: Checkout) -> Any:
        return json.loads((trained(here, "demo") / "summary.json").read_text())

    def demo(
        here: Checkout,
    ) -> list[str]:  # its numbers depend on the plan, which is chosen by timing
        return sorted(keys(json.loads(here.striate("demo", "--json"))))

    tally.compare("numbers of the demo's report.html", page, by_counts)
    tally.compare("summary.json of the demo", summary, by_keys)
    tally.compare("keys that `striate demo` prints", demo, by_members)


def keys(document: Any, at: str = "") -> Iterator[str]:
    """The paths of a JSON document's keys; those of a list's members are one."""
    if isinstance(document, list):
        yield from {key for one in document for key in keys(one, f"{at}[]")}
    elif isinstance(document, dict):
        for key in document:
            yield f"{at}.{key}"
            yield from keys(document[key], f"{at}.{key}")


def by_members(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    gone, added = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    return [f"{text} is gone" for text in gone], [f"{text} is new" for text in added]


def commands(tally: Tally) -> None:
    for name, text in COMMANDS.items():
        tally.compare(
            f"striate {text}" if len(text) < 80 else name, lambda here: answer(here, text), by_keys
        )  # noqa: B023 - called at once
    doctor = lambda here: sorted(keys(json.loads(here.striate("doctor", "--json"))))  # noqa: E731
    tally.compare("keys of striate doctor --json", doctor, by_members)


def answer(here: Checkout, text: str, runs: Checkout | None = None) -> dict[str, Any]:
    """Exit status, JSON of a command, and of an error its one line; RUN and COLOUR are runs of `runs`."""
    words = text.split()
    for word, training in (("RUN", "plain"), ("COLOUR", "mixup, EMA, SGD")):
        if word in words:
            run = trained(runs or here, training).relative_to((runs or here).folder)
            words[words.index(word)] = str(run)
    if "packed" in words:
        trained(here, "shards")
    done = here.run(["-m", "striate", *words])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    return {"exit": done.returncode, "json": lines, "error": error}


def runs(tally: Tally) -> None:
    """What OLD wrote, in NEW: scores, answers, and a checkpoint that goes on to the same bits."""
    old, new = tally.checkouts
    away = Checkout("NEW", new.root, new.folder.with_name("runs-of-old"))
    shutil.copytree(old.folder, away.folder, ignore=shutil.ignore_patterns("cache", "runs"))
    for training in ("plain", "mixup, EMA, SGD"):
        run = trained(old, training).relative_to(old.folder)
        shutil.copytree(old.folder / run, away.folder / run)
    other = Tally((old, away))
    for text in (
        "evaluate RUN --json",
        "predict RUN five.png --json",
        "evaluate COLOUR colours --json",
        "measure RUN --json",
    ):
        other.compare(f"OLD's run: {text}", lambda here: answer(here, text, old), by_keys)  # noqa: B023 - called at once
    tally.same += other.same
    tally.different += other.different


# --- Messages -------------------------------------------------------------------------------------


def errors(tally: Tally) -> None:
    old, new = (strings(here.root / "src") for here in tally.checkouts)
    matched = list(patterns(tally.checkouts[0].root / "tests"))
    known = lost = 0
    for where, text in matched:
        pieces = [piece for piece in shingles(text) if piece in old]
        gone = [piece for piece in pieces if piece not in new]
        known += bool(pieces)
        lost += bool(gone)
        if gone:
            say(f"to look at  {where}: {' | '.join(gone)[:150]}")
    say(
        f"{len(matched)} messages that tests match, {known} found in OLD's source, {lost} of them not in NEW's"
    )


def strings(folder: Path) -> str:
    """All text constants of the source below a folder, with single spaces."""
    found: list[str] = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(" ".join(node.value.split()))
    return "\0".join(found)


def patterns(folder: Path) -> Iterator[tuple[str, str]]:
    """Where and what: texts of `match=`; where that is a parameter, those of the test's decorators."""
    for path in sorted(folder.rglob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.keyword) and node.arg == "match":
                        texts = list(constants(node.value))
                        for mark in () if texts else function.decorator_list:
                            texts += [text for text in constants(mark) if " " in text]
                        for text in texts:
                            yield f"{path.relative_to(folder.parent)}:{node.value.lineno}", text


def constants(node: ast.AST) -> Iterator[str]:
    """The texts below a node."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def shingles(pattern: str) -> list[str]:
    """The literal pieces of a regular expression, three words at a time."""
    found: list[str] = []
    plain = re.sub(r"\\[A-Za-z]|(?<!\\)[.^$*+?{}()\[\]|]", "\0", pattern)
    for piece in re.sub(r"\\(.)", r"\1", plain).split("\0"):
        words = piece.split()
        found += [" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))]
    return [piece for piece in found if len(piece) > 4]


# --- Both -----------------------------------------------------------------------------------------

PARTS = {
    "trainings": trainings,
    "measure": measure,
    "report": report,
    "json": commands,
    "runs": runs,
    "errors": errors,
}


def checkout(name: str, root: Path, folder: Path) -> Checkout:
    """A checkout that is the one imported, with the pictures in its folder."""
    made = Checkout(name, root.resolve(), folder)
    folder.mkdir()
    make_pictures(folder)
    found = made.run(["-c", "import striate; print(striate.__file__)"]).stdout.strip()
    if not Path(found).is_relative_to(made.root / "src"):
        raise SystemExit(f"{name} {root}: this interpreter imports {found or 'no striate'} instead")
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="may be given more than once"
    )
    parser.add_argument("--keep", type=Path, help="a new folder for the runs, which then stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary) / "contract").resolve()
        folder.mkdir(parents=True)
        tally = Tally(
            (checkout("OLD", asked.old, folder / "old"), checkout("NEW", asked.new, folder / "new"))
        )
        for part in asked.only or PARTS:
            start = time.monotonic()
            PARTS[part](tally)
            say(f"-- {part}: {time.monotonic() - start:.0f} s")
    say(
        f"{tally.same} comparisons are the same, {len(tally.different)} differ{': ' if tally.different else ''}{', '.join(tally.different)}"
    )
    return int(bool(tally.different))


if __name__ == "__main__":
    sys.exit(main())
