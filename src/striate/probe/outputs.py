"""One run of the caller's own net in which what every module gave is kept, call by call.

A module may run several times, so outputs go by "PATH@CALL", the calls of each path counted from 0. Outputs are kept as
they are and not copied: a layer that works in place would overwrite them, which PyTorch's version counter of a tensor
tells. Which calls those are is known after the first run; from then on these alone are copied.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.probe.hooks import as_eval
from striate.probe.inputs import tensors


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a net gave on one input.

    Attributes:
        answer: of the net itself.
        given: the first floating tensor of each call of each module, by "PATH@CALL", in the order in which they end;
            the net itself is "@0".
        written: the calls whose tensors a later layer wrote into.
    """

    answer: object
    given: Mapping[str, Tensor]
    written: frozenset[str]


def outputs(
    net: nn.Module,
    run: Callable[[], object],
    copied: Collection[str] = (),
) -> Outputs:
    """Run a net in evaluation mode, without gradients, and keep what each module gives; the net is left as it was.

    Args:
        net: any net.
        run: runs it once, such as `lambda: net(x)`.
        copied: the calls whose tensors are written into later, as `Outputs.written` of an earlier run says. Others that
            are found are copied in a second run.
    """
    found = _ran(net, run, copied)
    if found.written - set(copied):
        found = _ran(net, run, found.written)
    return found


def _ran(net: nn.Module, run: Callable[[], object], copied: Collection[str]) -> Outputs:
    calls: Counter[str] = Counter()
    given: dict[str, Tensor] = {}
    versions: dict[str, int] = {}

    def keeper(path: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            name = f"{path}@{calls[path]}"
            calls[path] += 1
            found = next((t for t in tensors(output) if t.is_floating_point()), None)
            if found is not None:
                given[name] = found.clone() if name in copied else found
                versions[name] = given[name]._version

        return keep

    with ExitStack() as hooks, as_eval(net), torch.no_grad():
        for path, module in net.named_modules():
            hooks.callback(module.register_forward_hook(keeper(path)).remove)
        answer = run()
    written = {name for name, tensor in given.items() if tensor._version != versions[name]}
    return Outputs(answer, given, frozenset(written) | frozenset(copied))
