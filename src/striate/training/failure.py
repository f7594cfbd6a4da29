"""What is known of a step that must not be taken, and of weights that must not be kept."""

from traceback import walk_tb

import torch
from torch import Tensor

from striate.probe import scales
from striate.training.optim import recipe_rate
from striate.training.state import BrokenStepError, State


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
