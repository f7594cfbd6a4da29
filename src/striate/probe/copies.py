"""A copy of any net on the CPU or without numbers, so that what runs is never the caller's own.

`copied` makes one, `settled` gives lazy layers their sizes by running one, `saved_bytes` counts what a training step of
one keeps for the backward pass.
"""

import copy
import random
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.jit import ScriptModule
from torch.nn.parameter import is_lazy
from torch.overrides import handle_torch_function, has_torch_function

from striate.errors import UsageError
from striate.probe.inputs import Inputs, as_inputs, tensors


@contextmanager
def preserved_random_state() -> Generator[None]:
    """Leave the random states of Python and torch as they are, whatever the block draws."""
    state = random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)


@contextmanager
def without_warnings() -> Generator[None]:
    """Keep back the warnings of code that is not ours and that the caller did not run himself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def copied(net: nn.Module, device: str, *, shared: bool = False) -> nn.Module:
    """A deep copy whose tensors lie on `device`, without the hooks that the caller set.

    What cannot be copied, such as a lock or a file that a module holds, is shared with the caller's net.

    Args:
        net: any module.
        device: where the copy's tensors lie; without a meaning if they are shared.
        shared: the copy has the modules' own tensors, not copies of them.
    """
    memo: dict[int, object] = {}
    for module in net.modules():
        held = [
            *module.parameters(recurse=False),
            *module.buffers(recurse=False),
            *vars(module).values(),
        ]
        for tensor in held:
            if isinstance(tensor, Tensor):
                memo[id(tensor)] = tensor if shared else _moved(tensor, device)
    try:
        twin = copy.deepcopy(net, dict(memo))
    except Exception:  # noqa: BLE001 - any object may stand in a net
        twin = _by_parts(net, memo)
    for module in twin.modules():
        if isinstance(module, ScriptModule):
            _move_scripted(module, device)
            continue
        for name in ("_forward_pre_hooks", "_forward_hooks"):  # torch gives no public list of them
            _drop_hooks_of_callers(vars(module)[name])
    return twin


def saved_bytes(net: nn.Module, inputs: Inputs | Sequence[Tensor], *, device: str = "meta") -> int:
    """Bytes that one forward pass in training mode keeps for the backward pass, beside weights and buffers.

    Memory that several functions keep counts once. On the meta device nothing is computed.

    Args:
        net: any module; a copy runs.
        inputs: one tensor an argument, batch axis included.
        device: "meta", or where the copy runs on these very inputs.

    Raises:
        UsageError: the net does not run there.
    """
    twin = copied(net, device).train()
    fed = as_inputs(inputs).mapped(lambda t: t.to(device).contiguous())
    try:
        with (
            preserved_random_state(),
            without_warnings(),
            torch.enable_grad(),
            torch.device(device),
            keeping(twin) as kept,
        ):
            output = fed.call(twin)
    except Exception as error:  # any code may stand in a net
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"the net does not train on such inputs: {said}") from error
    del output
    return kept.bytes


@dataclass
class Kept:
    """What a forward pass keeps for the backward pass, beside weights and buffers, in bytes."""

    bytes: int = 0


@contextmanager
def keeping(net: nn.Module) -> Generator[Kept]:
    """Count what the forward pass in the block keeps; memory that several functions keep counts once."""
    own = {storage_id(t) for t in [*net.parameters(), *net.buffers()]}
    tensors_kept: dict[int, Tensor] = {}
    kept = Kept()

    def keep(tensor: Tensor) -> Tensor:
        if storage_id(tensor) not in own and storage_id(tensor) not in tensors_kept:
            tensors_kept[storage_id(tensor)] = tensor
            kept.bytes += tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        yield kept


def storage_id(tensor: Tensor) -> int:
    """A number for the memory that a tensor, or a view of it, lies in, as long as it is there.

    Addresses do not tell: those of meta tensors are all 0. PyTorch gives the same object for the same memory.
    """
    return id(tensor.untyped_storage())


def settled(net: nn.Module, inputs: Inputs | Sequence[Tensor]) -> nn.Module:
    """The net, or if it has lazy layers a copy on the CPU that has run once, so that they have sizes.

    Raises:
        UsageError: it has lazy layers, and does not run on such inputs.
    """
    if not lazy(net):
        return net
    twin = copied(net, "cpu").eval()
    fed = as_inputs(inputs).mapped(lambda like: torch.zeros(like.shape, dtype=like.dtype))
    with preserved_random_state(), without_warnings(), torch.no_grad():
        try:
            fed.call(twin)
        except Exception as error:  # any code may stand in a net
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UsageError(
                f"the net has lazy layers and does not run on such inputs: {said}"
            ) from error
    return twin


def lazy(net: nn.Module) -> bool:
    """Whether some layers wait for their first input to know their sizes."""
    return any(is_lazy(held) for held in [*net.parameters(), *net.buffers()])


def _by_parts(net: nn.Module, memo: dict[int, object]) -> nn.Module:
    modules = list(net.modules())
    for module in modules:
        memo[id(module)] = object.__new__(type(module))
    for module in modules:
        twin = memo[id(module)]
        vars(twin).update({name: _copied(held, memo) for name, held in vars(module).items()})
        for name in ("_parameters", "_buffers", "_modules"):  # never shared
            vars(twin)[name] = {key: memo.get(id(held)) for key, held in vars(module)[name].items()}
    return memo[id(net)]  # pyright: ignore[reportReturnType]


def _copied(held: object, memo: dict[int, object]) -> object:
    try:
        return copy.deepcopy(held, memo)
    except Exception:  # noqa: BLE001 - any object may stand in a net
        return held


def _moved(tensor: Tensor, device: str) -> Tensor:
    if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
        return type(tensor)(device=device, dtype=tensor.dtype)  # pyright: ignore[reportCallIssue]
    data = tensor.detach()
    if device == "meta" or data.is_meta:  # a net without numbers gets zeros where some are needed
        moved = torch.empty_like(data, device=device) if device == "meta" else _zeros(data, device)
    else:
        moved = data.to(device, copy=True)
    return nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved


def _zeros(like: Tensor, device: str) -> Tensor:
    return torch.zeros(like.shape, dtype=like.dtype, device=device)


def _move_scripted(module: ScriptModule, device: str) -> None:
    """Its copy ignores the memo, and `to` refuses to take it to the meta device."""
    own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    for name, tensor in own:
        setattr(module, name, _moved(tensor, device))


def _drop_hooks_of_callers(hooks: dict[int, Callable[..., object]]) -> None:
    """Keep the hooks that are part of the net's arithmetic, such as torch's weight norm and pruning."""
    for key, hook in list(hooks.items()):
        home = getattr(hook, "__module__", None) or type(hook).__module__
        if not home.startswith("torch."):
            del hooks[key]


def scripted(weights: Sequence[Tensor], module: ScriptModule, *inputs: object) -> object:
    """What a scripted module gives; the weights are named so that it is seen that they are read."""
    seen = tuple(tensors([weights, inputs]))
    if has_torch_function(seen):
        return handle_torch_function(scripted, seen, weights, module, *inputs)
    return module(*inputs)


class Scripted(nn.Module):
    """Stands in for a scripted module, on which no hook can be set."""

    def __init__(self, module: ScriptModule) -> None:
        super().__init__()
        self._held = (module, list(module.parameters()))  # in a tuple, so that it is no child

    def forward(self, *inputs: object) -> object:
        """As the scripted module."""
        module, weights = self._held
        return scripted(weights, module, *inputs)


def with_stand_ins(net: nn.Module) -> nn.Module:
    """The net with its outermost scripted modules replaced by stand-ins; changed in place, except for its root."""
    if isinstance(net, ScriptModule):
        return Scripted(net)
    for module in list(net.modules()):
        if isinstance(module, ScriptModule):
            continue
        for name, child in module.named_children():
            if isinstance(child, ScriptModule):
                setattr(module, name, Scripted(child))
    return net
