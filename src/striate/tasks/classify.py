"""One label a picture. B batch, K classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import losses
from striate.metrics import Scores, score
from striate.models.backbone import Backbone


class Learned(NamedTuple):
    """What a net made of a batch: its answer, the loss, and the loss's parts where it is a sum of several."""

    answer: Tensor
    loss: Tensor
    parts: Mapping[str, Tensor]


@dataclass(frozen=True)
class Classify:
    """Classification: cross-entropy or another loss of labels to learn by, softmax to answer with.

    Attributes:
        classes: their names.
        smoothing: of the labels, in cross-entropy.
        spelled: the loss as `striate.losses.read` takes it.
        class_weights: a factor for the items of each class, in cross-entropy and focal loss.
    """

    classes: tuple[str, ...]
    smoothing: float = 0.0
    name: str = "classify"
    spelled: str = "cross_entropy"
    class_weights: tuple[float, ...] | None = None

    @cached_property
    def _composite(self) -> losses.Composite:
        weights = None if self.class_weights is None else torch.tensor(self.class_weights)
        context: dict[str, Any] = {"smoothing": self.smoothing} if self.smoothing else {}
        if weights is not None:
            context["class_weights"] = weights
        return losses.read(self.spelled).within(**context)

    def loss(self, logits: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """What training makes small."""
        return self._composite(logits, target)

    def learn(
        self, net: nn.Module, x: Float[Tensor, "b ..."], target: Int[Tensor, " b"]
    ) -> Learned:
        """A net's answer and loss: of the net's own objective if it has one, which may ask for several losses.

        The parts are those of the loss of the answer itself.
        """
        measured: list[tuple[Tensor, Mapping[str, Tensor]]] = []

        def loss(logits: Tensor, wanted: Tensor) -> Tensor:
            value, parts = self._composite.measured(logits, wanted)
            measured.append((logits, parts))
            return value

        if isinstance(net, Backbone):
            answer, value = net.objective(x, target, loss)
        else:
            answer = net(x)
            value = loss(answer, target)
        return Learned(answer, value, next((p for of, p in measured if of is answer), {}))

    def decode(self, logits: Float[Tensor, "b k"]) -> NDArray[np.float32]:
        """Probabilities [B, K]."""
        return logits.float().softmax(1).cpu().numpy()

    def score(
        self,
        probs_NK: NDArray[np.float32],
        truth_N: NDArray[np.int64],
        *,
        run: str,
        data: str,
        split: str,
    ) -> Scores:
        """Scores with intervals of many answers."""
        return score(probs_NK, truth_N, classes=self.classes, run=run, data=data, split=split)

    def answer(
        self, probs_K: Sequence[float] | NDArray[np.float32], *, top: int = 5
    ) -> dict[str, Any]:
        """One answer as the JSON shape `predict` has it: label, confidence, the best few."""
        order = np.argsort(-np.asarray(probs_K), kind="stable")[:top]
        best = [[self.classes[i], float(probs_K[i])] for i in order]
        return {"label": best[0][0], "confidence": best[0][1], "top": best}
