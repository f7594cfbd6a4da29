"""What happens when a step cannot be taken, or a signal asks for the end.

A step fails where its loss or a gradient is no finite number, or where the memory does not suffice; a recipe's `on_nan`
and `oom` say what follows. At Ctrl-C or SIGTERM the step is finished and a checkpoint written, then the training ends; a
second signal ends the process at once, and the last whole checkpoint is there all the same.
"""

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor

from striate.errors import CheckpointError, NumericError, out_of_memory
from striate.probe import scales
from striate.runs import folder
from striate.runs.config import checked
from striate.training.optimizers import recipe_rate
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

    def attempts(self, state: State, x: Tensor, index: Tensor) -> "Attempts":
        """A step tried until it is taken, left out, or undone by going back to an earlier one.

        Args:
            state: of the training.
            x: the batch.
            index: its item numbers.
        """
        return Attempts(self, state, x, index)

    def factor(self, step: int) -> float:
        """The factor on the learning rate of a step."""
        return SLOWER ** sum(mishap.get("back_to", step + 1) <= step for mishap in self.mishaps)

    def buffers(self, state: State) -> dict[str, Tensor]:
        """Copies of the statistics that a forward pass changes, where they may have to be put back."""
        if (self.on_nan, self.oom) == ("stop", "stop"):
            return {}
        return {name: buffer.clone() for name, buffer in state.net.named_buffers()}

    def leave_out(self, state: State, error: BrokenStepError) -> bool:
        """Leave a broken step out; False where the training went back to its last checkpoint instead.

        Raises:
            BrokenStepError: the recipe does not go on from there.
        """
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
        self._write()
        return kind == "skip"

    def _write(self) -> None:
        if self.path:
            try:
                content = {"format": FORMAT, "steps": self.mishaps}
                folder.write_sealed(self.path / MISHAPS, content)
            except CheckpointError as error:  # on a full disk the training is worth more
                self.say(str(error))

    def halve(self, state: State, x: Tensor, reason: str) -> None:
        """Compute batches in twice as many parts from here on.

        Raises:
            NumericError: the recipe does not, or the batch cannot be divided further.
        """
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


class Attempts:
    """Tries of one step: `for attempt in attempts:` around `with attempt:` around what takes the step.

    What takes it raises with the weights as before. After the last try `rolled_back` says whether the training went
    back to an earlier step.

    Raises:
        BrokenStepError: the loss or a gradient is no number, and the recipe does not go on from there.
        NumericError: the memory does not suffice.
    """

    def __init__(self, guard: Guard, state: State, x: Tensor, index: Tensor) -> None:
        self.guard, self.state, self.x, self.index = guard, state, x, index
        self.rolled_back = False
        self.broken: BrokenStepError | None = None
        self.reason: str | None = None  # for which the memory did not suffice

    def __iter__(self) -> Iterator["Attempts"]:
        if any(mishap["step"] == self.state.step for mishap in self.guard.mishaps):
            return  # left out, as before
        buffers = self.guard.buffers(self.state)
        while True:
            self.broken = self.reason = None
            yield self
            if self.broken is None and self.reason is None:
                return
            # Out of the handlers: an error in hand keeps the memory of its step.
            self.state.opt.zero_grad()
            for name, buffer in self.state.net.named_buffers():
                if name in buffers:
                    buffer.copy_(buffers[name])
            if self.broken:
                self.rolled_back = not self.guard.leave_out(self.state, self.broken)
                return
            self.guard.halve(self.state, self.x, self.reason or "")

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, BrokenStepError):
            error.details["items"] = self.index.tolist()
            self.broken = error
        elif isinstance(error, MemoryError | RuntimeError) and out_of_memory(error):
            self.reason = " ".join(str(error).split())[:200]
        else:
            return False
        return True


def broken_step(state: State, x: Tensor, loss: float, norm: float) -> BrokenStepError:
    """The error that says where the numbers broke.

    Gradients run from the last layer to the first, so the last parameter in the net's order whose gradient
    is not finite is where they broke first; activations run the other way.

    Args:
        state: of the training, the step not taken.
        x: the batch.
        loss: of the batch.
        norm: of all gradients.
    """
    gradients = {n: p.grad for n, p in state.net.named_parameters() if p.grad is not None}
    bad = [name for name, grad in gradients.items() if not torch.isfinite(grad).all()]
    lr = recipe_rate(state.opt)
    first = bad[-1] if bad else "none of the parameters alone"
    layer = first_broken_layer(state.net, x)
    within = f", the output of {layer} too" if layer else ""
    details = {
        "step": state.step + 1,
        "loss": str(loss),  # JSON has no word for what is no number
        "lr": lr,
        "gradient_norm": str(norm),
        "gradient_norms": {name: str(float(grad.norm())) for name, grad in gradients.items()},
        "layers": bad,
        "output": layer,
    }
    return BrokenStepError(
        f"step {state.step + 1}: the loss is {loss:g} and the gradient of {first} broke first{within} "
        f"(learning rate {lr:.3g}); the step was not taken. Train anew with a smaller lr, or clip=1",
        details,
    )


def first_broken_layer(net: torch.nn.Module, x: Tensor) -> str | None:
    """Path of the first layer that gives no finite numbers for a batch, if any does."""
    try:
        with scales(net) as found, torch.no_grad():
            net(x)
    except RuntimeError:  # of a batch in another precision or on another device
        return None
    return next((path for path, s in found.items() if not torch.isfinite(s.size)), None)


def failed_layer(error: BaseException, net: torch.nn.Module) -> str | None:
    """Path of the innermost layer of a net in which an exception was raised, with its kind; None outside of all."""
    paths = {id(module): path for path, module in net.named_modules()}
    found = None
    for frame, _ in walk_tb(error.__traceback__):
        module = frame.f_locals.get("self")
        if isinstance(module, torch.nn.Module) and id(module) in paths:
            found = f"{paths[id(module)] or 'its forward'} ({type(module).__name__})"
    return found


def before_update(error: BaseException) -> bool:
    """Whether a step failed in its forward or backward pass, so that the weights are those before it."""
    frames = walk_tb(error.__traceback__)
    return not any(isinstance(f.f_locals.get("self"), torch.optim.Optimizer) for f, _ in frames)


def check_weights(state: State) -> None:
    """Refuse weights that are no numbers, before they are kept.

    Raises:
        BrokenStepError: naming the first.
    """
    for name, tensor in state.net.state_dict().items():
        if isinstance(tensor, Tensor) and not torch.isfinite(tensor).all():
            lr = recipe_rate(state.opt)
            raise BrokenStepError(
                f"step {state.step}: {name} holds values that are no finite numbers "
                f"(learning rate {lr:.3g}). Train anew with a smaller lr, or clip=1",
                {"step": state.step, "lr": lr, "layers": [name]},
            )


class Interrupt:
    """The signal that asked for the end of the training, if one came."""

    signum: int | None = None


@contextmanager
def catch_signals() -> Generator[Interrupt]:
    """Catch the first SIGINT or SIGTERM; outside the main thread there is nothing to catch."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def catch(signum: int, _frame: FrameType | None) -> None:
        interrupt.signum = signum
        for each in before:
            signal.signal(each, signal.SIG_DFL)

    for signum in before:
        signal.signal(signum, catch)
    try:
        yield interrupt
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
