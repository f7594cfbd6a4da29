"""Two checkouts of this repository compared: does NEW compute, print and refuse what OLD did?

    python tests/contract.py OLD NEW [--only trainings] [--only measure] ...

One line a comparison, and a verdict; exit status 1 where something differs. Parts:

    trainings   small trainings with `plan=default`: weights to the bit, results.csv and items.csv by columns
    measure     the sheet of every net of the catalogue at its own input
    report      the numbers of the report of the demo's training, its summary, what `striate demo` prints
    json        exit status and JSON of the commands
    runs        runs that OLD wrote, one of them stopped, used and gone on with by NEW
    errors      messages that OLD's tests match and that NEW's source lacks: to look at, no failure

Both run under this interpreter, on the CPU with one thread, in folders and caches of their own. Only the
command line, the Python names of `striate` and the files of run folders are used. Keys, columns and numbers
that NEW adds, and other words of an error, are notes. Times are left out: for speed see benchmarks/checkouts.py.
"""

import argparse
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import contract_messages

VOLATILE = {"seconds", "items_per_second", "waiting", "preparing"}
LIMIT = 900  # seconds that a command may take

_DIGITS = "digits --net lenet5 size=28 batch=8 epochs=3 val=0.2 split=stratified health=1 seed=1"
_COLOURS = "--net resnet20_cifar width=0.25 size=24 batch=16 epochs=3 split=stratified seed=2"
_SGD = "optimizer=sgd lr=0.05 nesterov=true schedule=cosine warmup=0.2 ema=0.9 smoothing=0.1"
_STREAMED = "colours val=0.25 augment=crop+flip workers=2"
TRAININGS = {
    "plain": _DIGITS,
    "resumed": _DIGITS,  # stopped within the second epoch
    "processes": f"{_DIGITS} devices=2",
    "streamed": f"{_STREAMED} {_COLOURS}",
    "shards": f"packed augment=crop+flip window=2 {_COLOURS}",
    "mixed": f"colours val=0.25 augment=crop+flip+mixup:0.2 {_COLOURS} {_SGD}",
}
OTHERS = {
    "half": _DIGITS,  # stopped by OLD, for NEW
    "demo": "digits --net lenet5",  # as `striate demo`, which chooses its plan by timing, though
}
PACK = "data colours --shards packed --shard-size 20k --val 0.25 --seed 2"

COMMANDS = """
nets --json
data digits --json
data colours --val 0.25 --seed 3 --json
data packed --json
evaluate PLAIN --json
evaluate PLAIN --split train --json
evaluate MIXED colours --json
predict PLAIN five.png --json
predict MIXED colours/red --top 2 --json
measure resnet18 --input 3x64x64 --json
measure lenet5 resnet20_cifar --json
measure resnet20_cifar --at 32,64 --json
measure PLAIN --json
measure lenet5 --training --json
see architecture lenet5 --json
see arithmetic PLAIN five.png --layer conv2 --at 3,2,1 --json
see convolution --input 2x5x5 --kernel 3 --stride 2 --pad 1 --json
see history depth --json
train digits --net lenet5 size=28 epochs=1 --folds 3 --name folds plan=default --json
""".strip().splitlines()
REFUSED = f"""
predict PLAIN five.png broken.png --json
measure resnet19 --json
train digits epoch=3
train digits --net lenet5 size=28 lr=1e30 epochs=1 optimizer=sgd plan=default
data nowhere --json
evaluate nowhere --json
{PACK}
""".strip().splitlines()
OLD_RUNS = """
evaluate PLAIN --json
predict PLAIN five.png --json
measure PLAIN --json
evaluate MIXED colours --json
""".strip().splitlines()


class FailedError(Exception):
    """A command that had to work did not."""


@dataclass(frozen=True)
class Checkout:
    """A checkout and the folder in which its commands run."""

    name: str
    root: Path
    folder: Path
    failed: dict[str, FailedError] = field(default_factory=dict[str, FailedError])

    def command(self, words: Sequence[str], *, caches: bool = True) -> dict[str, Any]:
        """What `subprocess` takes for this interpreter with these words; without `caches` pictures are streamed."""
        own = {key: value for key, value in os.environ.items() if not key.startswith("STRIATE_")}
        cache = str(self.folder / "cache")
        own |= {"PYTHONPATH": str(self.root / "src"), "STRIATE_CACHE": cache}
        own |= {"XDG_CACHE_HOME": cache, "STRIATE_CACHE_GB": "1" if caches else "0"}
        own |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "100"}
        return {"args": [sys.executable, *words], "cwd": self.folder, "env": own, "text": True}

    def run(
        self, words: Sequence[str], *, caches: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """This interpreter with these words, to its end; it may raise TimeoutExpired."""
        command = self.command(words, caches=caches)
        return subprocess.run(**command, capture_output=True, timeout=LIMIT, check=False)

    def striate(self, text: str, *, caches: bool = True) -> str:
        """What a command prints.

        Raises:
            FailedError: it leaves with another status than 0.
        """
        done = self.run(["-m", "striate", *text.split()], caches=caches)
        if done.returncode:
            why = f"exit {done.returncode}: {last(done.stderr)}"
            raise FailedError(f"{self.name}: striate {text}: {why}")
        return done.stdout


Compared = tuple[list[str], list[str]]  # what differs, and notes


@dataclass
class Tally:
    """What was compared, told as it comes."""

    old: Checkout
    new: Checkout
    same: list[str] = field(default_factory=list[str])
    different: list[str] = field(default_factory=list[str])

    def compare(
        self,
        name: str,
        produce: Callable[[Checkout], Any],
        differences: Callable[[Any, Any], Compared],
    ) -> None:
        """One line on what `produce` gives of both, and the first of what differs."""
        try:
            with ThreadPoolExecutor(2) as both:
                old, new = both.map(produce, (self.old, self.new))
            found, notes = differences(old, new)
        except (FailedError, subprocess.TimeoutExpired) as error:
            found, notes = [str(error)], []
        say(f"{'DIFFERENT' if found else 'same':10} {name}")
        for line in [*shortened(found), *(f"note: {note}" for note in shortened(notes))]:
            say(f"           {line}")
        (self.different if found else self.same).append(name)


def say(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def last(text: str) -> str:
    """The last line."""
    return (text.strip().splitlines() or [""])[-1]


def shortened(lines: Sequence[str], most: int = 6) -> list[str]:
    """The first of many lines, and how many there are."""
    more = len(lines) - most
    return [*lines[:most], *([f"... and {more} more"] if more > 0 else [])]


# --- What is trained ------------------------------------------------------------------------------


def make_pictures(folder: Path) -> None:
    """`colours/`: three classes of forty noisy pictures; a digit; a file that is no picture."""
    rng = np.random.default_rng(5)
    for channel, label in enumerate(("red", "green", "blue")):
        (folder / "colours" / label).mkdir(parents=True)
        for i in range(40):
            picture = rng.integers(0, 150, (32, 32, 3), np.uint8)
            top, left = rng.integers(2, 14, 2)
            picture[top : top + 14, left : left + 14, channel] += 50
            Image.fromarray(picture).save(folder / "colours" / label / f"{i:02d}.png")
    five = np.zeros((8, 8), np.uint8)
    five[1, 2:6] = five[1:4, 2] = five[3, 2:5] = five[3:6, 5] = five[6, 2:5] = 230
    Image.fromarray(five).save(folder / "five.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")


def trained(here: Checkout, name: str) -> Path:
    """The run folder of one of the trainings, which is trained when it is first asked for.

    Raises:
        FailedError: it cannot be trained.
    """
    if name in here.failed:
        raise here.failed[name]
    try:
        if not list(here.folder.glob(f"runs/*/{name}/report.html")):
            train(here, name)
        return run_folder(here, name)
    except FailedError as error:
        here.failed[name] = error
        raise


def train(here: Checkout, name: str) -> None:
    if name == "shards":
        here.striate(PACK)
    if name == "resumed":
        run = stopped(here, name).relative_to(here.folder)
        here.striate(f"train --resume {run}")
    else:
        here.striate(training(name), caches=name not in ("streamed", "shards"))


def training(name: str) -> str:
    return f"train {(TRAININGS | OTHERS)[name]} --name {name} plan=default device=cpu"


def stopped(here: Checkout, name: str) -> Path:
    """A run that SIGINT stops within its second epoch."""
    for _ in range(5):
        process = subprocess.Popen(
            **here.command(["-m", "striate", *training(name).split()]), stderr=subprocess.DEVNULL
        )
        epoch = 0
        while process.poll() is None and not (epoch and health_step(here, name) > 1.2 * epoch):
            epoch = epoch or last_step(here, name)  # the first checkpoint ends the first epoch
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        process.wait(LIMIT)
        if epoch and last_step(here, name) % epoch:
            return run_folder(here, name)
        shutil.rmtree(run_folder(here, name))  # it was stopped between two epochs, or had ended
    raise FailedError(f"{here.name}: five trainings could not be stopped within an epoch")


def run_folder(here: Checkout, name: str) -> Path:
    found = list(here.folder.glob(f"runs/*/{name}"))
    if not found:
        raise FailedError(f"{here.name}: there is no runs/*/{name}")
    return found[0]


def last_step(here: Checkout, name: str) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    found = here.folder.glob(f"runs/*/{name}/checkpoints/step-*")
    return max((int(path.name[5:]) for path in found), default=0)


def health_step(here: Checkout, name: str) -> int:
    """The step of the last whole line of health.csv; 0 where there is none."""
    text = "".join(path.read_text() for path in here.folder.glob(f"runs/*/{name}/health.csv"))
    step = last(text.rpartition("\n")[0]).partition(",")[0]
    return int(step) if step.isdecimal() else 0


# --- How things are compared ----------------------------------------------------------------------


def tensors(run: Path) -> dict[str, str]:
    """Of every tensor of model.safetensors the SHA-256 of its type, shape and bytes."""
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
    """The columns of a CSV file, those of times left out."""
    if not path.is_file():
        raise FailedError(f"{path}: there is none")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in (rows or [{}])[0] if key not in VOLATILE}


def by_keys(old: Any, new: Any) -> Compared:
    """What differs of two JSON documents; the keys that only the new one has, and other words of an error."""
    found, notes = list[str](), Counter[str]()
    for line in unequal(old, new, ""):
        if line.endswith(" is new") or line.startswith(".stderr"):
            notes[re.sub(r"\[\d+\]", "[]", line)] += 1
        else:
            found.append(line)
    return found, [f"{line} ({count} times)" for line, count in notes.items()]


def unequal(old: Any, new: Any, at: str) -> Iterator[str]:
    """Lines that name what differs, or is new."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{at}.{key} is new" for key in new if key not in old)
        yield from (f"{at}.{key} is gone" for key in old if key not in new)
        for key in old:
            if key in new and key not in VOLATILE:
                yield from unequal(old[key], new[key], f"{at}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from unequal(one, other, f"{at}[{i}]")
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{at}: {len(old)} long became {len(new)}"
    elif repr(old) != repr(new):  # so that NaN is NaN, and 1 is not 1.0
        yield f"{at}: {repr(old)[:120]} became {repr(new)[:120]}"


def keys(document: Any, at: str = "") -> Iterator[tuple[str, None]]:
    """The paths of a JSON document's keys; those of a list's members are one."""
    for one in document if isinstance(document, list) else ():
        yield from keys(one, f"{at}[]")
    for key in document if isinstance(document, dict) else ():
        yield f"{at}.{key}", None
        yield from keys(document[key], f"{at}.{key}")


def numbers(page: str) -> Counter[str]:
    """How often each number stands in the text of a page; not in its times, navigation, footer and details."""
    page = re.sub(r"<(style|script|time|nav|footer|details)\b.*?</\1>", " ", page, flags=re.DOTALL)
    page = re.sub(r"<dt>training time</dt>.*?</dd>|<[^>]*>", " ", page, flags=re.DOTALL)
    return Counter(re.findall(r"(?<![\w.])[\d,]*\.?\d+(?:e[\u2212-]?\d+)?(?!\w)", page))


def by_counts(old: Counter[str], new: Counter[str]) -> Compared:
    """Numbers that are gone, and those that are new; their order does not matter."""
    gone, added = old - new, new - old
    notes = [f"{added.total()} more numbers: {' '.join(sorted(added))[:200]}"] if added else []
    return [f"{number} is gone ({count} times)" for number, count in sorted(gone.items())], notes


# --- The parts ------------------------------------------------------------------------------------


def trainings(tally: Tally) -> None:
    for name in TRAININGS:
        tally.compare(f"training: {name}", partial(ending, name=name), by_keys)


def ending(here: Checkout, name: str) -> dict[str, Any]:
    """What a training ended with."""
    run = trained(here, name)
    tables = {file: table(run / file) for file in ("results.csv", "items.csv")}
    if name == "resumed" and tensors(run) != tensors(trained(here, "plain")):
        raise FailedError(f"{here.name}: resumed, it ends with other weights than undisturbed")
    return {"weights": tensors(run), **tables}


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
    names = [row["name"] for row in json.loads(tally.old.striate("nets --json"))]
    sheets: dict[str, Any] = {}
    for here in (tally.old, tally.new):
        done = here.run(["-c", SHEETS, *names])
        failed = {name: {"error": last(done.stderr)} for name in names}
        sheets[here.name] = json.loads(done.stdout) if done.returncode == 0 else failed

    def sheet(here: Checkout, name: str) -> Any:
        found = sheets[here.name][name]
        if "error" in found:
            raise FailedError(f"{here.name}: measure {name}: {found['error']}")
        return found

    for name in names:
        tally.compare(f"measure {name}", partial(sheet, name=name), by_keys)


def report(tally: Tally) -> None:
    def page(here: Checkout) -> Counter[str]:
        return numbers((trained(here, "demo") / "report.html").read_text())

    def summary(here: Checkout) -> Any:
        return json.loads((trained(here, "demo") / "summary.json").read_text())

    tally.compare("demo: numbers of report.html", page, by_counts)
    tally.compare("demo: summary.json", summary, by_keys)
    tally.compare(
        "demo: keys of striate demo --json", partial(keys_of, text="demo --json"), by_keys
    )


def keys_of(here: Checkout, text: str) -> dict[str, None]:
    return dict(keys(json.loads(here.striate(text))))


def commands(tally: Tally) -> None:
    for text in [*COMMANDS, *REFUSED]:
        tally.compare(f"striate {text}", partial(answer, text=text), by_keys)
    doctor = partial(keys_of, text="doctor --json")
    tally.compare("keys of striate doctor --json", doctor, by_keys)


def answer(here: Checkout, text: str) -> dict[str, Any]:
    """Exit status of a command, what it prints, and of an error its line; PLAIN and MIXED are run folders."""
    asked = text
    for name in ("plain", "mixed"):
        if name.upper() in text:
            text = text.replace(name.upper(), str(trained(here, name).relative_to(here.folder)))
    if "packed" in text:
        trained(here, "shards")
    done = here.run(["-m", "striate", *text.split()])
    printed = [json.loads(line) if line[:1] in "[{" else line for line in done.stdout.splitlines()]
    error = last(done.stderr) if done.returncode else ""
    if here.name == "OLD" and bool(done.returncode) is not (asked in REFUSED):
        raise FailedError(f"OLD: striate {text}: exit {done.returncode} {error}")
    return {"exit": done.returncode, "stdout": printed, "stderr": error}


def old_runs(tally: Tally) -> None:
    """What OLD wrote, used by NEW in a folder of its own."""
    old, other = tally.old, tally.new.folder.with_name("old-runs")
    runs = [trained(old, "plain"), trained(old, "mixed"), stopped(old, "half")]
    for path in [*runs, old.folder / "colours"]:
        shutil.copytree(path, other / path.relative_to(old.folder))
    shutil.copy(old.folder / "five.png", other)
    both = replace(tally, new=Checkout("NEW", tally.new.root, other))
    for text in OLD_RUNS:
        both.compare(f"OLD's run: striate {text}", partial(answer, text=text), by_keys)
    both.compare("OLD's run that was stopped, gone on with", gone_on, by_keys)


def gone_on(here: Checkout) -> dict[str, str]:
    run = run_folder(here, "half")
    here.striate(f"train --resume {run.relative_to(here.folder)}")
    return tensors(run)


def errors(tally: Tally) -> None:
    for line in contract_messages.lost(tally.old.root, tally.new.root):
        say(f"to look at {line}")


# --- Both -----------------------------------------------------------------------------------------

PARTS = {
    "trainings": trainings,
    "measure": measure,
    "report": report,
    "json": commands,
    "runs": old_runs,
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


def processor() -> float:
    """Seconds of this process and of those that ended."""
    return sum(os.times()[:4])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", action="append", choices=PARTS, help="may be given several times")
    parser.add_argument("--keep", type=Path, help="a new folder for the runs, which then stay")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary) / "contract").resolve()
        folder.mkdir(parents=True)
        old = checkout("OLD", asked.old, folder / "old")
        tally = Tally(old, checkout("NEW", asked.new, folder / "new"))
        for part in asked.only or PARTS:
            start, used = time.monotonic(), processor()
            try:
                PARTS[part](tally)
            except FailedError as error:
                say(f"DIFFERENT  {part}: {error}")
                tally.different.append(part)
            took = f"{time.monotonic() - start:.0f} s, {processor() - used:.0f} s of processor time"
            say(f"-- {part}: {took}")
    say(f"{len(tally.same)} comparisons are the same, {len(tally.different)} differ")
    say("\n".join(f"differs: {name}" for name in tally.different) or "nothing differs")
    return int(bool(tally.different))


if __name__ == "__main__":
    sys.exit(main())
