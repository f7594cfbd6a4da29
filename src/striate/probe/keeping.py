"""How many bytes autograd keeps between the forward and the backward pass of a copy of any net."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from striate.errors import UsageError
from striate.probe.copying import quiet, random_kept, twin_of
from striate.probe.inputs import Inputs, as_inputs


def copied(net: nn.Module, device: str) -> nn.Module:
    """A deep copy on a device, without the hooks that the caller set; "meta" holds no numbers."""
    return twin_of(net, device)


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
    twin = twin_of(net, device).train()
    own = {_memory(t) for t in [*twin.parameters(), *twin.buffers()]}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _memory(tensor) not in own:
            kept.setdefault(_memory(tensor), tensor)
        return tensor

    fed = as_inputs(inputs).mapped(lambda t: t.to(device).contiguous())
    try:
        with (
            random_kept(),
            quiet(),
            torch.enable_grad(),
            torch.device(device),
            saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            output = fed.call(twin)
    except Exception as error:  # any code may stand in a net
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UsageError(f"the net does not train on such inputs: {said}") from error
    del output
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _memory(tensor: Tensor) -> int:
    # Storages of meta tensors all lie at address 0; only this tells them apart.
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]
