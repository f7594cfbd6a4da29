"""PyTorch's own weights files into safetensors: the one place that reads a pickle, run as a process of its own.

    python -m striate.weights.pytorch_files FILE OUT BYTES SECONDS

`weights_only=True` builds tensors and containers alone; the process has a limit on memory, time and the size
of files, and reaches no network, so that what still goes wrong goes wrong here. Tensors are found at the top, or
under the name that training scripts give them.
"""

import json
import pickle
import re
import sys
from collections.abc import Mapping
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor

UNDER = ("state_dict", "model_state_dict", "model", "weights", "net")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "swa_model", "averaged")


def tensors(content: object) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by name in what a file holds, and what has to be said of the choice.

    Raises:
        ValueError: it is no table of tensors.
    """
    notes: list[str] = []
    for _ in range(2):
        if isinstance(content, Mapping):
            table = cast("Mapping[object, object]", content)
            keys = [key for key in (*UNDER, *AVERAGED) if isinstance(table.get(key), Mapping)]
            content = table[keys[0]] if keys else table
            if len(keys) > 1:
                notes.append(
                    f"taken from {keys[0]!r} in the file, which also holds {', '.join(keys[1:])}"
                )
            elif keys and keys[0] in AVERAGED:
                notes.append(f"the file holds averaged weights alone ({keys[0]!r})")
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds {type(content).__name__}, expected tensors by name")  # noqa: TRY004
    table = cast("Mapping[object, object]", content)
    found = {str(name): t for name, t in table.items() if isinstance(t, Tensor)}
    if not found or len(found) < len(table):
        other = next(
            (str(name) for name, t in table.items() if not isinstance(t, Tensor)), "nothing"
        )
        raise ValueError(f"it holds {other!r}, which is no tensor; expected tensors by name")
    return found, notes


def limit(room: int, seconds: int) -> None:
    """Bound what this process may take and reach from here on, where the system can."""
    sys.addaudithook(_refuse)
    try:
        import resource
    except ImportError:  # Windows
        return
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no path of ours
        used = int(file.read().split()[0]) * resource.getpagesize()
    for kind, most in (
        (resource.RLIMIT_AS, used + room),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, room),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def _refuse(event: str, _arguments: tuple[object, ...]) -> None:
    """Let nothing connect or start a program."""
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_")):
        raise PermissionError(f"a weights file asked for {event}")


def unsafe(said: str) -> str:
    """Why a pickle is not loaded, without what PyTorch says on how to load it all the same.

    >>> unsafe("Unsupported global: GLOBAL posix.system was not an allowed global by default. Please use")
    'it holds posix.system beside tensors, which is never loaded; expected tensors by name, as of torch.save(net.state_dict(), NEW)'
    """
    found = re.search(r"GLOBAL (\S+)", said)
    what = f"{found[1]} beside tensors" if found else "more than tensors"
    return f"it holds {what}, which is never loaded; expected tensors by name, as of torch.save(net.state_dict(), NEW)"


def main(file: str, out: str, room: str, seconds: str) -> None:
    """Convert one file."""
    limit(int(room), int(seconds))
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 - the one import file
    except pickle.UnpicklingError as error:
        raise ValueError(unsafe(str(error))) from None
    # Clones, because tensors that share memory are refused and views would drag their whole storage along.
    found, notes = tensors(content)
    clones = {name: t.detach().clone().contiguous() for name, t in found.items()}
    save_file(clones, out, metadata={"notes": json.dumps(notes)})


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # noqa: BLE001 - whatever a strange file leads to, in one line
        kind = (
            "" if type(error) is ValueError else f"{type(error).__name__}: "
        )  # ours is a sentence
        sys.exit(" ".join(f"{kind}{error}".split()))
