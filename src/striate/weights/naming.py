"""Other libraries' names for the tensors of our families, turned into ours.

Ours are torchvision's where it has the family, else timm's; what is left are timm's VGG, the first and the last
layer of its pre-activation ResNets, and the names that torchvision's DenseNet files carry from before 2018.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from torch import Tensor, nn

# module of the family -> pattern, replacement
RENAMES = {
    "preresnet": ((r"^stem\.conv\.", "conv1."), (r"^head\.fc\.", "fc.")),
    "densenet": ((r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)", r"\1\2"),),
    "vgg": (
        (r"^pre_logits\.fc1\.", "classifier.0."),
        (r"^pre_logits\.fc2\.", "classifier.3."),
        (r"^head\.fc\.", "classifier.6."),
    ),
}
# What training scripts put before every name.
PREFIXES = ("module.", "_orig_mod.")


def renamed(
    tensors: Mapping[str, Tensor], have: Mapping[str, Tensor], net: nn.Module
) -> dict[str, Tensor]:
    """The tensors under the names that `net` has, wherever a rule leads there.

    A 4-d kernel that covers its whole input, as timm stores fully connected layers, is flattened.
    """
    rules = RENAMES.get(type(net).__module__.rpartition(".")[2], ())
    wrapping = _wrapping(tensors)
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = _ours(name.removeprefix(wrapping), rules)
        like = have.get(new)
        flat = like is not None and like.ndim == 2 and tensor.numel() == like.numel()
        found[new] = tensor.reshape(like.shape) if flat and like is not None else tensor
    return found


def _wrapping(names: Collection[str]) -> str:
    """What stands before every name."""
    found = ""
    while True:
        more = (p for p in PREFIXES if names and all(n.startswith(found + p) for n in names))
        prefix = next(more, None)
        if prefix is None:
            return found
        found += prefix


def _ours(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
