"""What is watched of the caller's own net while it runs; modes are put back and hooks taken off, also after an exception.

`as_eval` lends a net in evaluation mode, `watch` records what layers give, `layer_output` is one layer's output with its
gradient, `layer_outputs` those of several without what lies behind them, `cut` makes one layer's output the start of the
graph, `shapes` says what every layer gives, `scales` keeps two numbers of every layer, `running` knows which layer runs.
Inputs stay as they are: a net that may begin in place is given a copy.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, nearest
from striate.probe.inputs import mapped, tensors


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


@contextmanager
def frozen(net: nn.Module) -> Generator[nn.Module]:
    """Lend `net` with parameters that need no gradients: none are computed and none are left; also after an exception."""
    needed = [parameter for parameter in net.parameters() if parameter.requires_grad]
    for parameter in needed:
        parameter.requires_grad_(False)
    try:
        yield net
    finally:
        for parameter in needed:
            parameter.requires_grad_(True)


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
    modules = _modules(net, paths)
    seen = Watched({path: [] for path in paths}, {path: [] for path in paths})
    with ExitStack() as hooks:
        for path in paths:
            hook = _keeper(seen, path, hooks if gradients else None, attached=attached)
            hooks.callback(modules[path].register_forward_hook(hook).remove)
        yield seen


def layer_output(net: nn.Module, path: str, x: Tensor) -> Tensor:
    """What one layer gives when the net runs on `x`: the tensor itself, through which gradients flow.

    Raises:
        ArgumentError: a path that the net does not have, or a layer that gave no tensor.
    """
    with watch(net, [path], attached=True) as seen:
        net(x.clone())
    if not seen.activations[path]:
        raise ArgumentError(f"the layer {path!r} gave no tensor: it did not run, or gives none")
    return seen[path]


def layer_input(net: nn.Module, path: str, x: Tensor) -> Tensor:
    """What one layer is given when the net runs on `x`: the first tensor of its last call.

    Raises:
        ArgumentError: a path that the net does not have, or a layer that was given no tensor.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    if path not in modules:
        raise ArgumentError(
            f"the net has no layer {path!r}; {nearest(path, filter(None, modules))}"
        )
    given: list[Tensor] = []

    def keep(_module: nn.Module, inputs: object) -> None:
        given[:] = [tensor.clone() for tensor in tensors(inputs)][:1]

    handle = modules[path].register_forward_pre_hook(keep)
    try:
        net(x.clone())
    finally:
        handle.remove()
    if not given:
        raise ArgumentError(
            f"the layer {path!r} was given no tensor: it did not run, or takes none"
        )
    return given[0]


@contextmanager
def cut(net: nn.Module, path: str, *, call: int | None = None) -> Generator[list[list[Tensor]]]:
    """Compute what follows one layer from leaves: of each of its calls the floating tensors that it gave, in order.

    With `call` it is cut there alone, and the list of any other call is empty.

    The gradient of what the net gives by a leaf is that by the layer's output. The net goes on with a copy, so a later
    in-place layer does not overwrite it. Gradients are on from the layer to the end of the block, so that under
    `torch.no_grad` nothing is kept of what stands before it.

    Raises:
        ArgumentError: a path that the net does not have, or a layer whose output is no tensor, list, tuple or dictionary.
    """
    modules = dict(net.named_modules(remove_duplicate=False))
    if path not in modules:
        raise ArgumentError(
            f"the net has no layer {path!r}; {nearest(path, filter(None, modules))}"
        )
    calls: list[list[Tensor]] = []

    def leaf(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        calls[-1].append(tensor.detach().clone().requires_grad_())
        return calls[-1][-1].clone()

    def replaced(_module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, Tensor) and type(output) not in (list, tuple, dict):
            raise ArgumentError(
                f"{path or 'the net'} gives {type(output).__name__}, expected a tensor, or a list, tuple or dictionary of some"
            )
        calls.append([])
        if call is not None and call != len(calls) - 1:
            return output
        torch.set_grad_enabled(True)
        return mapped(output, leaf)

    handle, enabled = modules[path].register_forward_hook(replaced), torch.is_grad_enabled()
    try:
        yield calls
    finally:
        torch.set_grad_enabled(enabled)
        handle.remove()


@contextmanager
def shapes(net: nn.Module) -> Generator[list[tuple[str, tuple[int, ...]]]]:
    """Fill a list with the path of each layer and the shape of each tensor that it gives, in the order in which they end."""
    found: list[tuple[str, tuple[int, ...]]] = []
    with ExitStack() as hooks:
        for path, module in net.named_modules():
            hooks.callback(module.register_forward_hook(_noting(found, path)).remove)
        yield found


def _noting(found: list[tuple[str, tuple[int, ...]]], path: str) -> Callable[..., None]:
    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        found.extend((path, tuple(tensor.shape)) for tensor in tensors(output))

    return note


class _Enough(Exception):  # noqa: N818 - no error: it ends a forward pass whose rest nobody needs
    pass


def layer_outputs(net: nn.Module, paths: Sequence[str], x: Tensor) -> list[Tensor]:
    """What some layers give on `x` the first time they run, with their gradients; nothing behind the last is computed.

    Raises:
        ArgumentError: a path that the net does not have, or a layer that gave no tensor.
    """
    modules = _modules(net, paths)
    found: dict[str, Tensor] = {}

    def keep(path: str, output: object) -> None:
        given = tensors(output)
        if path in found or not given:
            return
        last = len(found) + 1 == len(set(paths))
        found[path] = given[-1] if last else given[-1].clone()  # a later layer may write into it
        if last:
            raise _Enough

    with ExitStack() as hooks, suppress(_Enough):
        for path in set(paths):
            handle = modules[path].register_forward_hook(_told(keep, path))
            hooks.callback(handle.remove)
        net(x.clone())
    for path in paths:
        if path not in found:
            raise ArgumentError(f"the layer {path!r} gave no tensor: it did not run, or gives none")
    return [found[path] for path in paths]


def _told(keep: Callable[[str, object], None], path: str) -> Callable[..., None]:
    """A hook that gives the output of a layer on, with the path of the layer."""

    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        keep(path, output)

    return hook


def _noted(begun: set[str], path: str) -> Callable[..., None]:
    """A hook that notes that a module begins to run."""

    def hook(_module: nn.Module, _inputs: object) -> None:
        begun.add(path)

    return hook


def ran_until(net: nn.Module, path: str, x: Tensor) -> set[str]:
    """Paths of the modules that have begun to run on `x` by the time one of them has ended.

    Raises:
        ArgumentError: a path that the net does not have.
    """
    begun: set[str] = set()
    with ExitStack() as hooks:
        for name, module in net.named_modules():
            handle = module.register_forward_pre_hook(_noted(begun, name))
            hooks.callback(handle.remove)
        layer_outputs(net, [path], x)
    return begun


def _modules(net: nn.Module, paths: Sequence[str]) -> dict[str, nn.Module]:
    modules = dict(net.named_modules(remove_duplicate=False))
    for path in paths:
        if path not in modules:
            raise ArgumentError(
                f"the net has no layer {path!r}; {nearest(path, filter(None, modules))}"
            )
    return modules


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


@dataclass(frozen=True)
class Scale:
    """One layer's output over a batch, as tensors that nobody has waited for yet.

    Attributes:
        size: root of the mean square; no finite number where a value is none.
        dead: share of its channels (axis 1) that are zero everywhere in the batch, or too small to be squared.
    """

    size: Tensor
    dead: Tensor


def leaves(net: nn.Module) -> list[str]:
    """Paths of the layers that hold no others."""
    return [path for path, module in net.named_modules() if path and not any(module.children())]


@contextmanager
def scales(net: nn.Module, paths: list[str] | None = None) -> Generator[dict[str, Scale]]:
    """Fill a table by path, in the order of the calls, while the block runs; hooks are gone afterwards.

    The net computes what it computes without. Of a layer that runs several times the last call counts.

    Args:
        net: any net.
        paths: of the layers; all `leaves` if not given.
    """
    modules = dict(net.named_modules())
    found: dict[str, Scale] = {}
    with ExitStack() as hooks:
        for path in leaves(net) if paths is None else paths:
            handle = modules[path].register_forward_hook(_measuring(found, path))
            hooks.callback(handle.remove)
        yield found


def _measuring(found: dict[str, Scale], path: str) -> Callable[..., None]:
    def measure(_module: nn.Module, _inputs: object, output: object) -> None:
        given = tensors(output)
        if given and given[-1].is_floating_point() and given[-1].ndim > 1:
            with torch.no_grad():
                found[path] = _scale(given[-1].detach())

    return measure


def _scale(output: Tensor) -> Scale:
    others = [axis for axis in range(output.ndim) if axis != 1]
    wide = torch.promote_types(output.dtype, torch.float32)
    channels = torch.linalg.vector_norm(output, dim=others, dtype=wide)
    size = torch.linalg.vector_norm(channels) / max(1, output.numel()) ** 0.5
    return Scale(size, (channels == 0).float().mean())


@dataclass
class Running:
    """The layer that runs now, or ran last: its path, and its kind."""

    layers: list[tuple[str, str]] = field(default_factory=lambda: [("", "")])

    @property
    def path(self) -> str:
        """Path of the layer; "" is the net itself."""
        return self.layers[-1][0]

    @property
    def kind(self) -> str:
        """Name of its class."""
        return self.layers[-1][1]


@contextmanager
def running(net: nn.Module) -> Generator[Running]:
    """Know at any time which layer of a net runs, forward or backward; hooks are gone afterwards.

    Backward it is the layer whose output had its gradient last, so code between two layers counts as the later
    of the two.
    """
    at = Running([("", type(net).__name__)])
    with ExitStack() as hooks:
        for path, module in net.named_modules():
            layer = (path, type(module).__name__)
            hooks.callback(module.register_forward_pre_hook(_enter(at, layer)).remove)
            hooks.callback(module.register_forward_hook(_leave(at, layer)).remove)
        yield at


def _enter(at: Running, layer: tuple[str, str]) -> Callable[..., None]:
    def enter(_module: nn.Module, _inputs: object) -> None:
        at.layers.append(layer)

    return enter


def _leave(at: Running, layer: tuple[str, str]) -> Callable[..., None]:
    def here(_gradients: object) -> None:
        at.layers.append(layer)

    def leave(_module: nn.Module, _inputs: object, output: object) -> None:
        del at.layers[-1]
        for tensor in tensors(output):
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(here)

    return leave
