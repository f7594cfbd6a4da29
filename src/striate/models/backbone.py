"""What every net of the catalogue gives beside its answer: maps for any head, and where its ends are.

B batch, C channels, H W pixels, K outputs.

Nets are built of PyTorch's own layers wherever those compute the same: tools that look for layers by their
class (fusing, pruning, quantising) know them, and so do published weights. From `striate.layers` and
`striate.ops` they take what PyTorch lacks or does more slowly: connections by a table, local response
normalisation, pooling of whole maps, halving while few channels learn, cropping, graphs, capsules' loss.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError
from striate.models import init

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Backbone(nn.Module, ABC):
    """A net whose maps other heads can use; `forward` gives its answer alone, in both modes.

    Attributes:
        input_shape: (C, H, W) it was built for; (C, frames) of a net over time, (C, D, H, W) of one over volumes.
        widths: channels of each map of `features`.
        strides: input pixels between neighbouring values of each map.
        stem: path of the first layer with weights, the one whose kernels can be looked at as pictures.
        head: path of the last layer, linear or a convolution.
        auxiliary_heads: paths of the last layers of auxiliary classifiers, which only training uses; the
            class names all that it may have, so that weights tell them from what is missing.
        backbone_name: of the net of the catalogue whose layers, as far as they are needed, are at the path
            `backbone`; empty where none is.
    """

    input_shape: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    stem: str
    head: str
    auxiliary_heads: tuple[str, ...] = ()
    backbone_name: str = ""

    @property
    def class_layers(self) -> tuple[str, ...]:
        """Paths of further layers as wide as the answer, which `reset_head` makes anew too."""
        return ()

    @abstractmethod
    def initialise(self, generator: torch.Generator) -> None:
        """First weights of every layer, as the family takes them."""

    @abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """Maps [B, widths[i], H / strides[i], W / strides[i]] (valid convolutions lose a border), finest first."""

    def keep_maps(self, count: int) -> None:
        """Give from now on only the finest maps, so many, and compute nothing behind them; there is no answer any more.

        The loops of `features` end with the last of `widths`.
        """
        self.widths, self.strides = self.widths[:count], self.strides[:count]

    def code_values(self, height: int, width: int) -> int | None:
        """Numbers that stand between a picture of this size and the answer, of nets with no way round them; None where not known."""
        del height, width
        return None

    def channels(self, num_classes: int) -> int:
        """Numbers along axis 1 of the answer for so many classes; detectors have more than one a class."""
        return num_classes

    def objective(
        self, x: Tensor, target: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What a step of training makes small; nets with auxiliary heads or a loss of their own replace it.

        Args:
            x: pictures [B, C, H, W].
            target: what belongs to them.
            loss: of an answer and the target, as the task measures it.

        Returns:
            The answer as `forward` gives it, and the loss.
        """
        answer = self(x)
        return answer, loss(answer, target)

    def freeze_norm(self, *, frozen: bool = True) -> "Backbone":
        """Keep the statistics and the affine weights of batch normalisation as they are, also in training mode."""
        freeze_norm(self, lambda _path: frozen)
        return self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode, except for batch normalisation that is frozen."""
        super().train(mode)
        hold_norm(self)
        return self

    def reset_head(self, num_classes: int, *, generator: torch.Generator | None = None) -> None:
        """Put a new last layer of `num_classes` outputs, where the old one was and of its type.

        Args:
            num_classes: outputs of the new layer, and of each auxiliary head; 0 leaves them out, and the answer
                is what they would have read.
            generator: source of its weights; None is a new one, so that equal calls give equal weights.

        Raises:
            ArgumentError: 0 for a net whose answer is more than a last layer, or the head was left out before.
        """
        if num_classes == 0:
            self.leave_out_head()
            return
        generator = generator or torch.Generator()
        for path in (self.head, *self.auxiliary_heads):
            self.set_submodule(path, _resized(self.get_submodule(path), num_classes, generator))

    def leave_out_head(self) -> None:
        """Nothing in the place of each last layer: the answer is what it would have read.

        Raises:
            ArgumentError: the answer is more than a last layer.
        """
        if self.class_layers:
            also = ", ".join(self.class_layers)
            raise ArgumentError(
                f"num_classes=0: {also} would have nothing to read; take net.features(x) instead"
            )
        for path in (self.head, *self.auxiliary_heads):
            self.set_submodule(path, nn.Identity())


def last_layer(net: nn.Module) -> str:
    """Path of the last layer: the one a net of ours names, else the last that has a matrix of weights."""
    if isinstance(net, Backbone):
        return net.head
    names = [name for name, p in net.named_parameters() if p.ndim > 1]
    return names[-1].rpartition(".")[0] if names else ""


def with_outputs(net: nn.Module, outputs: int, generator: torch.Generator) -> bool:
    """Give any net a new last layer of so many outputs, in place; whether it had another number.

    Args:
        net: any net; only its last layer is changed, which has to be linear or a convolution.
        outputs: of the new layer.
        generator: source of its weights.
    """
    path = last_layer(net)
    old = net.get_submodule(path) if path else None
    if not isinstance(old, nn.Linear | nn.Conv1d | nn.Conv2d) or len(old.weight) == outputs:
        return False
    net.set_submodule(path, _resized(old, outputs, generator))
    return True


def freeze_norm(net: nn.Module, which: Callable[[str], bool]) -> None:
    """Mark the batch normalisation of any net that stays as it is; `hold_norm` puts the marks to work.

    The weights of marked layers are not trained; those of layers whose mark is taken off are again.

    Args:
        net: any net; its mode stays.
        which: whether the layer at a path is frozen.
    """
    for path, norm in net.named_modules():
        if not isinstance(norm, BATCH_NORMS):
            continue
        frozen = which(path)
        if frozen or vars(norm).get("frozen"):
            norm.requires_grad_(not frozen)
        vars(norm)["frozen"] = frozen


def hold_norm(net: nn.Module) -> None:
    """Evaluation mode for the batch normalisation that is frozen; to be called after every `train`."""
    for norm in net.modules():
        if vars(norm).get("frozen"):
            norm.eval()


def dropout(rate: float) -> nn.Module:
    """Dropout, or nothing at all where the rate is 0."""
    return nn.Dropout(rate) if rate else nn.Identity()


def _resized(old: nn.Module, outputs: int, generator: torch.Generator) -> nn.Module:
    if isinstance(old, nn.Identity):
        raise ArgumentError(
            "the head was left out; build the net with the classes that it shall have"
        )
    if not isinstance(old, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
        raise TypeError(f"the head is {type(old).__name__}, neither linear nor a convolution")
    bias, place = old.bias is not None, old.weight.new_empty(0)
    with init.skipped():
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, outputs, bias=bias)
        else:
            names = ["kernel_size", "stride", "padding", "dilation"]
            names += ["output_padding"] if isinstance(old, nn.ConvTranspose2d) else []
            shape: dict[str, Any] = {name: getattr(old, name) for name in names}
            new = type(old)(old.in_channels, outputs, bias=bias, **shape)
    init.as_torch(new, generator)
    return new.to(place.device, place.dtype)
