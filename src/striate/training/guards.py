"""What becomes of a step that cannot be taken: its loss or gradient is no number, or the memory did not suffice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from striate.errors import CheckpointError, NumericError, out_of_memory
from striate.runs import folder
from striate.runs.config import checked
from striate.training.state import BrokenStepError, State

ROLLBACKS = 3  # after which rollback stops too
SLOWER = 0.5  # factor on the learning rate after each
MISHAPS = "mishaps.json"
FORMAT = 2  # of that file; the one before had no hash


@dataclass(frozen=True)
class Mishap:
    """What is needed of a step that was not taken; its file has more, for people."""

    step: int
    back_to: int | None = None


@dataclass
class Guard:
    """Takes steps, and does what a recipe's `on_nan` and `oom` say where one cannot be taken.

    What happened is kept in mishaps.json of the run folder, not in checkpoints: a training that goes back to an
    older checkpoint must not forget it, and one that is killed and resumed ends the same.

    Attributes:
        on_nan: "stop", "skip:K" (leave out up to K steps) or "rollback" (to the last checkpoint; from there on
            at half the rate and without the step that broke, as in Chowdhery et al. 2022, arXiv 2204.02311,
            section 5.1, where batches around a spike were left out; at most three times).
        oom: "stop" or "halve" (compute a batch in twice as many parts, whose gradients add up to the same).
        path: of the run folder; None keeps nothing.
        say: gets a line for everything that happened.
        back: puts a state back to the last checkpoint.
    """

    on_nan: str = "stop"
    oom: str = "stop"
    path: Path | None = None
    say: Callable[[str], None] = lambda _line: None
    back: Callable[[State], None] = lambda _state: None
    mishaps: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    def __post_init__(self) -> None:
        """Read what happened before the training was resumed; what cannot be read is said, and forgotten."""
        if not (self.path and (self.path / MISHAPS).exists()):
            return
        try:
            self.mishaps = _remembered(self.path / MISHAPS)
        except CheckpointError as error:
            self.say(
                f"{error}; which steps were left out before is not known any more, the training goes on"
            )

    def take(self, step: Callable[[], None], state: State, x: Tensor, index: Tensor) -> bool:
        """Take a step; False where the training went back to an earlier one instead.

        Args:
            step: takes it, or raises with the weights as before.
            state: of the training.
            x: the batch.
            index: its item numbers.

        Raises:
            BrokenStepError: the loss or a gradient is no number, and the recipe does not go on from there.
            NumericError: the memory does not suffice.
        """
        if any(mishap["step"] == state.step for mishap in self.mishaps):
            return True  # left out, as before
        buffers, reason = self._buffers(state), ""
        while True:
            try:
                step()
            except BrokenStepError as error:
                error.details["items"] = index.tolist()
                broken = error
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                broken = None
                reason = " ".join(str(error).split())[:200]
            else:
                return True
            # Out of the handlers: an error in hand keeps the memory of its step.
            state.opt.zero_grad()
            for name, buffer in state.net.named_buffers():
                if name in buffers:
                    buffer.copy_(buffers[name])
            if broken:
                return self._leave_out(state, broken)
            self._halve(state, x, reason)

    def factor(self, step: int) -> float:
        """The factor on the learning rate of a step."""
        return SLOWER ** sum(mishap.get("back_to", step + 1) <= step for mishap in self.mishaps)

    def _buffers(self, state: State) -> dict[str, Tensor]:
        """Statistics that a forward pass changes, where they may have to be put back."""
        if (self.on_nan, self.oom) == ("stop", "stop"):
            return {}
        return {name: buffer.clone() for name, buffer in state.net.named_buffers()}

    def _leave_out(self, state: State, error: BrokenStepError) -> bool:
        kind, _, most = self.on_nan.partition(":")
        if kind == "stop" or len(self.mishaps) >= (int(most) if kind == "skip" else ROLLBACKS):
            raise error
        mishap: dict[str, Any] = {**error.details, "step": state.step}
        if kind == "rollback":
            self.back(state)
            mishap["back_to"] = state.step
        self.mishaps.append(mishap)
        what = f"step {mishap['step'] + 1}: the loss is {mishap['loss']}, the norm of the gradient {mishap['gradient_norm']}"
        self.say(
            f"{what}; left out ({len(self.mishaps)} of at most {most})"
            if kind == "skip"
            else f"{what}; back to step {state.step}, from there at half the rate and without it "
            f"({len(self.mishaps)} of at most {ROLLBACKS} times)"
        )
        self._keep()
        return kind == "skip"

    def _keep(self) -> None:
        if self.path:
            try:
                content = {"format": FORMAT, "steps": self.mishaps}
                folder.write_sealed(self.path / MISHAPS, content)
            except CheckpointError as error:  # on a full disk the training is worth more
                self.say(str(error))

    def _halve(self, state: State, x: Tensor, reason: str) -> None:
        """Compute batches in twice as many parts from here on."""
        parts = 2 * state.parts
        picture = "x".join(map(str, x.shape[1:]))
        what = (
            f"step {state.step + 1}: out of memory on a batch of {len(x)} pictures of {picture}"
            f"{f' in {state.parts} parts' if state.parts > 1 else ''}"
        )
        if self.oom == "stop" or len(x) < 2 * parts:
            ways = "a smaller batch=, size= or width= needs less"
            if self.oom == "stop":
                ways = f"oom=halve computes it in parts with the same result, {ways}"
            raise NumericError(f"{what} ({reason}): {ways}")
        state.parts = parts
        self.say(f"{what}: computed in {parts} parts from here on, with the same result")


def _remembered(path: Path) -> list[Mapping[str, Any]]:
    """The steps of a mishaps.json.

    Raises:
        CheckpointError: it is damaged.
    """
    content = folder.read_json(path)
    known = folder.unsealed(content, path, needed=bool({folder.SEAL, "format"} & set(content)))
    try:
        return checked(list[Mishap], known.get("steps")) and list(known["steps"])
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
