"""One run of a copy of any net with every number kept: what each call read and what it gave."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torch._C import DisableTorchFunction

from striate.probe.calls import Call, Value
from striate.probe.copies import copied, preserved_random_state, without_warnings
from striate.probe.inputs import Inputs, as_inputs, tensors
from striate.probe.tracing import FlopCounter, Recorder


@dataclass(frozen=True, eq=False)
class Recording:
    """A run on real inputs.

    Attributes:
        inputs: what the net was given.
        calls: every torch function it called, in order.
        functions: those functions themselves, one a call.
        returned: what each module gave back, by path, one entry a call of the module.
        numbers: the tensor behind every value, by its index, as it was when that value was made.
    """

    inputs: tuple[Value, ...]
    calls: tuple[Call, ...]
    functions: tuple[Callable[..., object], ...] = field(repr=False)
    returned: Mapping[str, Sequence[tuple[Value, ...]]] = field(repr=False)
    numbers: Mapping[int, Tensor] = field(repr=False)

    def maker(self, value: Value) -> int | None:
        """The place in `calls` of the call that made a value; None for inputs, weights and constants."""
        return self._makers.get(value.index)

    def reading(self, value: Value) -> list[int]:
        """The places in `calls` of those that read a value."""
        return self._readers.get(value.index, [])

    @cached_property
    def _readers(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for i, call in enumerate(self.calls):
            for index in {value.index for value in call.inputs}:
                found.setdefault(index, []).append(i)
        return found

    @cached_property
    def _makers(self) -> dict[int, int]:
        return {value.index: i for i, call in enumerate(self.calls) for value in call.outputs}


def record(net: nn.Module, inputs: Inputs | Sequence[Tensor], *, shared: bool = False) -> Recording:
    """Run a copy of `net` on the CPU in evaluation mode and keep every number; the net itself is not touched.

    Args:
        net: any module; hooks on it that are not torch's own do not run.
        inputs: one tensor an argument of `forward`, or `Inputs`.
        shared: the copy runs with the net's own weights and buffers, which lie on the CPU and stay as they are as
            long as the recording is read; the memory and the time of a copy are saved.

    What the net raises passes through.
    """
    twin = copied(net, "cpu", shared=shared).eval()
    fed = as_inputs(inputs).mapped(lambda tensor: tensor.detach().to("cpu", copy=True))
    recorder = _Keeper(twin, fed.tensors, shared=shared)
    given = tuple(recorder.value(tensor) for tensor in fed.tensors)
    with preserved_random_state(), without_warnings(), torch.no_grad(), recorder:
        fed.call(recorder.net)
    recorder.align()
    return Recording(
        given,
        tuple(recorder.calls),
        tuple(recorder.functions),
        recorder.returned,
        recorder.numbers,
    )


class _Keeper(Recorder):
    """Copies each tensor when it becomes a value, so that in-place functions overwrite nothing."""

    def __init__(self, net: nn.Module, inputs: Sequence[Tensor], *, shared: bool = False) -> None:
        self.numbers: dict[int, Tensor] = {}
        self.functions: list[Callable[..., object]] = []
        self._versions: dict[int, int] = {}
        self._shared = {id(held) for held in (*net.parameters(), *net.buffers())} if shared else ()
        super().__init__(net, inputs, FlopCounter())

    def _know(self, tensor: Tensor, *, live: bool = False, params: tuple[str, ...] = ()) -> Value:
        value = super()._know(tensor, live=live, params=params)
        with DisableTorchFunction():  # the copy is no call of the net
            given = tensor.detach()
            self.numbers[value.index] = given if id(tensor) in self._shared else given.clone()
        self._versions[value.index] = tensor._version
        return value

    def _write_through(self, tensor: Tensor, before: Value) -> None:
        """Nothing: here a tensor that was written through is found by its version."""

    def _refresh(self, tensor: Tensor) -> None:
        """A tensor that was written through another one that shares its memory is a new value."""
        value = self.value(tensor)
        if self._versions[value.index] != tensor._version:
            self._know(tensor, live=True)

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        for tensor in tensors([args, kwargs or {}]):
            self._refresh(tensor)
        self.align()
        result = super().__torch_function__(func, types, args, kwargs)
        self.functions += [func] * (len(self.calls) - len(self.functions))
        return result

    def align(self) -> None:
        """Give a function to the calls that no torch function made: what came about where nothing is seen."""
        self.functions += [_unseen] * (len(self.calls) - len(self.functions))


def _unseen(*_args: object, **_kwargs: object) -> object:
    raise NotImplementedError("what ran here was not seen, so it cannot run again")
