"""The second count: the formulas of `torch.utils.flop_counter` on every kernel that a run reaches.

PyTorch's own `FlopCounterMode` counts the same, but sets hooks on every module of the process and
takes twice as long.
"""

from collections.abc import Callable
from typing import cast

from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils.flop_counter import flop_registry


def flops(kernel: object, args: tuple[object, ...], kwargs: dict[str, object], out: object) -> int:
    """Floating-point operations of one kernel, two a multiply-add; 0 if PyTorch has no formula for it."""
    rules = cast("dict[object, Callable[..., int]]", flop_registry)
    rule = rules.get(kernel.overloadpacket) if isinstance(kernel, OpOverload) else None
    return 0 if rule is None else rule(*args, **kwargs, out_val=out)


class FlopCounter(TorchDispatchMode):
    """Counts while it is entered; `total` is the sum so far."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing compiles in here; True wraps every kernel to make sure of it

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if (
            isinstance(func, OpOverload)
            and func.overloadpacket not in flop_registry
            and not any(map(is_traceable_wrapper_subclass, (*args, *kwargs.values())))
        ):
            with self:  # a composite kernel is counted by the parts it is made of
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = func(*args, **kwargs)
        self.total += flops(func, args, kwargs, out)
        return out
