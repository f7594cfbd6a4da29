"""Lend a net in evaluation mode, and record what its layers give. Hooks and modes are put back, also after an exception."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from striate.errors import ArgumentError, nearest


@contextmanager
def as_eval(net: nn.Module) -> Generator[nn.Module]:
    """Lend `net` in evaluation mode; each submodule gets its own mode back, also after an exception."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield net
    finally:
        for module, training in modes:
            module.training = training


@dataclass(frozen=True)
class Watched:
    """What the watched layers gave, by path; one tensor a call, in the order of the calls.

    `gradients` fills during `backward`, so there the last call comes first.
    """

    activations: dict[str, list[Tensor]]
    gradients: dict[str, list[Tensor]]

    def __getitem__(self, path: str) -> Tensor:
        """The activation of the last call of one layer."""
        return self.activations[path][-1]


@contextmanager
def watch(
    net: nn.Module, paths: Sequence[str], *, gradients: bool = False, attached: bool = False
) -> Generator[Watched]:
    """Record what layers give while the block runs; every hook is gone afterwards, also after an exception.

    Activations are detached copies, so a later in-place layer does not overwrite them. Of a layer that
    gives several tensors each is recorded.

    Args:
        net: any net; it runs as it is, in the mode and on the device where it stands.
        paths: layers as `named_modules` calls them; "" is the whole net.
        gradients: record the gradients of those outputs too; call `backward` inside the block.
        attached: leave the copies in the graph, for gradients of theirs by what they were made from.

    Raises:
        ArgumentError: a path that the net does not have, or gradients of an output that has none.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    for path in paths:
        if path not in modules:
            raise ArgumentError(
                f"the net has no layer {path!r}; {nearest(path, filter(None, modules))}"
            )
    seen = Watched({path: [] for path in paths}, {path: [] for path in paths})
    with ExitStack() as hooks:
        for path in paths:
            hook = _keeper(seen, path, hooks if gradients else None, attached=attached)
            hooks.callback(modules[path].register_forward_hook(hook).remove)
        yield seen


def tapped(net: nn.Module, path: str, x: Tensor) -> Tensor:
    """What one layer gives when the net runs on `x`: the tensor itself, through which gradients flow.

    Raises:
        ArgumentError: a path that the net does not have, or a layer that gave no tensor.
    """
    with watch(net, [path], attached=True) as seen:
        net(x)
    if not seen.activations[path]:
        raise ArgumentError(f"the layer {path!r} gave no tensor: it did not run, or gives none")
    return seen[path]


def _keeper(
    seen: Watched, path: str, backward: ExitStack | None, *, attached: bool
) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        for tensor in tensors(output):
            seen.activations[path].append((tensor if attached else tensor.detach()).clone())
            if backward is None:
                continue
            if not tensor.requires_grad:
                raise ArgumentError(
                    f"the output of {path or 'the net'} has no gradient; run without torch.no_grad, "
                    "with weights or pictures that require one"
                )
            handle = tensor.register_hook(seen.gradients[path].append)
            backward.callback(handle.remove)

    return keep


def tensors_within(value: object, depth: int = 12) -> list[Tensor]:
    """As `tensors`, and in data classes, sets and the attributes of any other object, such as a distribution."""
    if depth == 0 or isinstance(value, str | bytes | nn.Module | type) or callable(value):
        return []
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        parts = list(cast("Mapping[object, object]", value).values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(cast("Iterable[object]", value))
    else:
        slots = [name for name in getattr(value, "__slots__", ()) if hasattr(value, name)]
        parts = [*getattr(value, "__dict__", {}).values(), *(getattr(value, n) for n in slots)]
    found = [tensor for part in parts for tensor in tensors_within(part, depth - 1)]
    return list({id(tensor): tensor for tensor in found}.values())


def tensors(value: object) -> list[Tensor]:
    """Every tensor in nested lists, tuples and mappings, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for item in value for t in tensors(item)] if isinstance(value, list | tuple) else []


def foreign(value: object) -> object | None:
    """The first number or array in nested lists, tuples and mappings that is no tensor, and may come from one."""
    if isinstance(value, Mapping):
        value = list(cast("Mapping[object, object]", value).values())
    if isinstance(value, list | tuple):
        items = (foreign(item) for item in cast("Iterable[object]", value))
        return next((item for item in items if item is not None), None)
    return None if value is None or isinstance(value, Tensor | str | bool) else value
