"""One label a picture. B batch, K classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.losses import cross_entropy
from striate.metrics import Scores, score
from striate.models.backbone import Backbone


@dataclass(frozen=True)
class Classify:
    """Classification: cross-entropy to learn by, softmax to answer with."""

    classes: tuple[str, ...]
    smoothing: float = 0.0
    name: str = "classify"

    def loss(self, logits: Float[Tensor, "b k"], target: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """What training makes small."""
        return cross_entropy(logits, target, smoothing=self.smoothing)

    def learn(
        self, net: nn.Module, x: Float[Tensor, "b ..."], target: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, ""]]:
        """The answers of a net and what training makes small: the net's own objective if it has one."""
        if isinstance(net, Backbone):
            return net.objective(x, target, self.loss)
        logits = net(x)
        return logits, self.loss(logits, target)

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
