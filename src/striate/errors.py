"""Every error a user can meet, and the exit status of each.

StriateError                    1   base of all
├── GateError                   1   a gate failed: an audit finding, a leak, an export that differs
├── UsageError                  2   the call or the settings
│   ├── ArgumentError           2   an argument of a function (also a ValueError)
│   │   └── ShapeError          2   sizes that do not fit together
│   ├── RecipeError             2   a setting of a training
│   └── MissingExtraError       2   an optional package is not installed (also an ImportError)
├── DataError                   3   the data
├── NumericError                4   a loss or a gradient that is no number, or memory that ran out
├── CheckpointError             5   a run folder or a model file
├── ServeError                  6   a port or a server
├── PeerError                   6   another process of a training was lost
└── Stopped                130/143  a signal

A message says what came, what was expected and how to mend it, in one line. The command line prints
it and leaves with `exit_status`.
"""

import difflib
from collections.abc import Iterable

LISTED = 24  # names that a message spells out
NEAR = 6  # names that it takes for near
SHARED = 3  # letters that one name must hold of another
SHOWN = 120  # letters of a value that it shows


class StriateError(Exception):
    """Base of every expected error; `exit_status` is what the command line returns."""

    exit_status = 1


class GateError(StriateError):
    """A check that the user asked for did not pass."""


class UsageError(StriateError):
    """The command or its settings cannot be carried out as written."""

    exit_status = 2


class ArgumentError(UsageError, ValueError):
    """An argument has a value that the function does not take."""


class ShapeError(ArgumentError):
    """Sizes that do not fit together."""


class RecipeError(UsageError, ValueError):
    """A setting of a training is unknown, of the wrong type or out of range."""


class MissingExtraError(UsageError, ImportError):
    """An optional package is needed and not installed."""


class DataError(StriateError):
    """The data cannot be used as they are."""

    exit_status = 3


class NumericError(StriateError):
    """A number stopped being one, or the memory did not suffice."""

    exit_status = 4


class CheckpointError(StriateError):
    """A run folder or a model file is damaged, too new or not one of ours."""

    exit_status = 5


class ServeError(StriateError):
    """A port cannot be bound or a server cannot go on."""

    exit_status = 6


class PeerError(StriateError):
    """Another process of a training was lost, and this one cannot go on without it."""

    exit_status = 6


class Stopped(StriateError):  # noqa: N818 - a signal is no error of the program
    """A signal ended the work in good order; the last whole checkpoint is kept."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + signum


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception like that of Ctrl-C: nothing takes it for an error, and all that is open is closed."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, PyTorch or one of its libraries says that there was no memory left."""
    words = ("allocate memory", "out of memory", "bad_alloc", "could not create a memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def told(value: object) -> str:
    """A value as a message shows it: on one line, of an array its kind and sizes alone.

    >>> told([1, 2]), told("vaild")
    ('[1, 2]', "'vaild'")
    """
    shape = getattr(value, "shape", None)
    if shape:
        return f"{type(value).__name__} {list(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, and all of them or the next few.

    >>> nearest("resnet81", ["lenet5", "resnet18"])
    'did you mean resnet18? There are: lenet5, resnet18'
    >>> nearest("resnet20", ["resnet20_cifar", "resnet50"])
    'did you mean resnet20_cifar? There are: resnet20_cifar, resnet50'
    """
    names = sorted(known)
    close = _near(word, names)
    if len(names) > LISTED:
        others = f"; also near: {', '.join(close[1:])}" if close[1:] else ""
        return f"did you mean {close[0]}{others}?" if close else f"it is none of {len(names)}"
    if close:
        return f"did you mean {close[0]}? There are: {', '.join(names)}"
    return f"there are: {', '.join(names)}"


def _near(word: str, names: list[str]) -> list[str]:
    """The likeliest names first: those that begin with the word, that it begins with, spelt alike, that hold it."""
    low = word.lower()
    plain = {name: name.lower() for name in names}
    begun = [name for name in names if low and plain[name].startswith(low)]
    alike = difflib.get_close_matches(low, list(plain.values()), n=NEAR)
    longer = [name for name in names if len(name) >= SHARED and low.startswith(plain[name])]
    within = [name for name in names if len(low) >= SHARED and low in plain[name]]
    found = [
        *sorted(begun, key=lambda name: (len(name), name)),
        *sorted(longer, key=len, reverse=True),
        *(name for each in alike for name in names if plain[name] == each),
        *within,
    ]
    return list(dict.fromkeys(found))[:NEAR]
