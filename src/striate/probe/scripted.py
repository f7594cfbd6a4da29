"""Scripted modules inside a net: each is called as one function, since nothing can be seen inside it."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.overrides import handle_torch_function, has_torch_function

from striate.probe.watching import tensors


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


def opened(net: nn.Module) -> nn.Module:
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
