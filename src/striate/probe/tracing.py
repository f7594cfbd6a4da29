"""Run a copy of any net and list every torch function it calls; the net itself is not touched."""

import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from striate.errors import UsageError
from striate.probe.calls import Call, Trace, Value, bind
from striate.probe.copies import (
    copied,
    lazy,
    preserved_random_state,
    storage_id,
    with_stand_ins,
    without_warnings,
)
from striate.probe.inputs import Inputs, as_inputs, first_non_tensor, tensors, tensors_within


def trace(
    net: nn.Module,
    inputs: Inputs | Sequence[Tensor],
    *,
    numbers: bool = True,
    training: bool = False,
) -> Trace:
    """Run a copy of `net`, in evaluation mode if not asked otherwise, and list its calls; the net itself is not touched.

    On the meta device first, where no weight is copied and nothing is computed; a net that cannot run there
    (its control flow depends on numbers) runs on the CPU with a copy of its weights and random inputs.

    Args:
        net: any module; hooks on it that are not torch's own do not run.
        inputs: one tensor an argument of `forward`, or `Inputs`; of tensors only shape and type are used.
        numbers: whether the CPU is tried; without it a net that fails costs no copy of its weights.
        training: run in training mode.

    Returns:
        The run that came further; `failed` and `error` say where it stopped if the net cannot take these inputs.

    Raises:
        UsageError: lazy layers without sizes; `settled` gives them some.
    """
    if lazy(net):
        raise UsageError(
            "the net has lazy layers without sizes; run it once on a batch before this"
        )
    given = as_inputs(inputs)
    run = _uncompiled(net, given, "meta", training=training)
    if run.error is None or not numbers:
        return run
    real = _uncompiled(net, given, "cpu", training=training)
    if real.error and len(run.calls) > len(real.calls):
        return run
    further = not real.error or len(run.calls) < len(real.calls)
    return replace(real, needs_numbers=further)


def runs(net: nn.Module, inputs: Inputs) -> bool:
    """Whether a copy of the net runs on the CPU while nobody watches it."""
    fed = inputs.mapped(lambda like: _input(like, "cpu"))
    with preserved_random_state(), without_warnings(), torch.no_grad():
        try:
            fed.call(copied(net, "cpu").eval())
        except Exception:  # noqa: BLE001 - any code may stand in a net
            return False
    return True


def _uncompiled(net: nn.Module, inputs: Inputs, device: str, *, training: bool) -> Trace:
    """A run in which nothing is compiled, if that is where the first one fails: a compiler bears no observer."""
    run = _run(net, inputs, device, training=training)
    if not type(run.error).__module__.startswith("torch._dynamo"):
        return run
    with torch.compiler.set_stance("force_eager"):
        return _run(net, inputs, device, training=training)


def _run(net: nn.Module, inputs: Inputs, device: str, *, training: bool) -> Trace:
    twin = copied(net, device).train(training)
    fed = inputs.mapped(lambda like: _input(like, device))
    output, error = None, None
    counter = FlopCounter()
    recorder = Recorder(twin, fed.tensors, counter)
    given = tuple(recorder.value(tensor) for tensor in fed.tensors)
    with (
        preserved_random_state(),
        without_warnings(),
        torch.no_grad(),
        counter,
        torch.device(device),
        recorder,
    ):
        try:
            output = fed.call(recorder.net)
        except Exception as problem:  # noqa: BLE001 - any code may stand in a net
            error = problem
    found = tensors_within(output)
    return Trace(
        device=device,
        inputs=given,
        fed=inputs,
        calls=tuple(recorder.calls),
        outputs=tuple(recorder.value(tensor) for tensor in found),
        unseen="" if error else recorder.unseen(output, found),
        flops=counter.total,
        entered=frozenset(recorder.entered),
        returned=recorder.returned,
        failed=recorder.failing(error) if error else None,
        error=error,
    )


def _input(like: Tensor, device: str) -> Tensor:
    if device == "cpu" and like.is_floating_point():
        return torch.rand(like.shape, dtype=like.dtype, generator=torch.Generator())
    return torch.zeros(like.shape, dtype=like.dtype, device=device)


@dataclass(frozen=True)
class _Frame:
    """A module that is running: its path, its type, and how many calls had been made when it began."""

    path: str
    module: str
    calls: int = 0


def flops(kernel: object, args: tuple[object, ...], kwargs: dict[str, object], out: object) -> int:
    """Floating-point operations of one kernel, two a multiply-add; 0 if PyTorch has no formula for it."""
    rules = cast("dict[object, Callable[..., int]]", flop_registry)
    rule = rules.get(kernel.overloadpacket) if isinstance(kernel, OpOverload) else None
    return 0 if rule is None else rule(*args, **kwargs, out_val=out)


class FlopCounter(TorchDispatchMode):
    """Counts by the formulas of `torch.utils.flop_counter` while it is entered; `total` is the sum so far.

    PyTorch's own `FlopCounterMode` counts the same, but sets hooks on every module of the process and
    takes twice as long.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    # Dispatch modes and the class of an operator are in PyTorch's notes on extending it and have no public name yet:
    # github.com/pytorch/pytorch, pull requests 62771 and 110073. So has this switch none.
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


class Recorder(TorchFunctionMode):
    """Writes down each torch function as it is called, with the module that stands on top of the stack.

    Attributes:
        net: the net to run; a scripted module in it is called as one function.
        calls: the calls so far.
        entered: paths of the modules that ran.
        returned: what each module gave back, by path, one entry a call of the module.
    """

    def __init__(self, net: nn.Module, inputs: Sequence[Tensor], counter: FlopCounter) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.entered: set[str] = set()
        self.returned: dict[str, list[tuple[Value, ...]]] = {}
        self._counter = counter
        self._escaped: list[Value] = []
        self._became_number = False
        self._cuts: dict[int, Call] = {}
        self._stack = [_Frame("", type(net).__name__)]
        self._known: MutableMapping[Tensor, Value] = WeakTensorKeyDictionary()
        self._made = 0
        self._failed: tuple[Call, Exception] | None = None
        self._fallen: tuple[_Frame, BaseException | None] = (self._stack[0], None)
        for name, parameter in net.named_parameters():
            self._know(parameter, params=(name,))
        for tensor in inputs:
            self._know(tensor, live=True)
        self.net = with_stand_ins(net)
        for path, module in self.net.named_modules():
            self._follow(path, module)

    def _follow(self, path: str, module: nn.Module) -> None:
        name = type(module).__name__
        for held in tensors(
            [dict(module.named_buffers(recurse=False)), list(vars(module).values())]
        ):
            self.value(held)  # a constant, whoever gives it back

        def enter(_module: nn.Module, _inputs: object) -> None:
            self.entered.add(path)
            self._stack.append(_Frame(path, name, len(self.calls)))

        def leave(_module: nn.Module, inputs: object, output: object) -> None:
            frame = self._stack.pop()
            error = sys.exception()
            if error is None:
                self._untraced(frame, tensors_within(inputs), tensors_within(output))
                given = tuple(self.value(tensor) for tensor in tensors(output))
                self.returned.setdefault(path, []).append(given)
            elif error is not self._fallen[1]:
                self._fallen = (frame, error)

        module.register_forward_pre_hook(enter, prepend=True)
        # Also after an exception, which the net may catch.
        module.register_forward_hook(leave, always_call=True)

    def _untraced(self, frame: _Frame, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Outputs that came about where no torch function is seen, as in NumPy: from all that went in."""
        new = [tensor for tensor in outputs if tensor not in self._known]
        if not new:
            return
        inside = [value for call in self.calls[frame.calls :] for value in call.outputs]
        read = [*(self.value(tensor) for tensor in inputs), *inside]
        call = Call(frame.path, frame.module, "untraced", (read,), {})
        made = tuple(self._know(tensor, live=call.live) for tensor in new)
        self.calls.append(replace(call, outputs=made, written=_written(inputs, new)))

    def value(self, tensor: Tensor) -> Value:
        """The value of a tensor; one that nothing recorded made is a constant."""
        return self._known.get(tensor) or self._know(tensor)

    def _know(self, tensor: Tensor, *, live: bool = False, params: tuple[str, ...] = ()) -> Value:
        self._made += 1
        shape = () if tensor.is_nested else tuple(tensor.shape)
        value = Value(self._made, shape, tensor.dtype, live, params)
        self._known[tensor] = value
        return value

    def unseen(self, output: object, found: Sequence[Tensor]) -> str:
        """What kind of output could not be followed, such as "numpy.ndarray"; "" if all of it was."""
        if found and not self._escaped and not self._became_number:
            return ""
        odd = first_non_tensor(output)
        if found and odd is None:
            return ""
        kind = type(output if odd is None else odd)
        return (
            kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        )

    def failing(self, error: Exception) -> Call:
        """The call that raised `error`, or the module that did so outside any call."""
        if self._failed and self._failed[1] is error:
            return self._failed[0]
        where = self._fallen[0] if self._fallen[1] is error else self._stack[0]
        return Call(where.path, where.module, "forward", (), {})

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        before = self._counter.total
        try:
            if _keeps(func, args, kwargs):
                result = torch.empty_like(tensors(args)[0])
            elif isinstance(func, HigherOrderOperator) and (plain := PLAIN.get(_name(func))):
                with self if plain is _branch else nullcontext():
                    result = plain(*args, **kwargs)
            else:
                result = func(*args, **kwargs)
        except Exception as error:
            self._failed = (self._call(func, args, kwargs), error)
            raise
        # Kernels of compiled code are counted once they are back, so here they count themselves.
        work = self._counter.total - before or flops(func, args, kwargs, result)
        # An assignment to part of a tensor gives nothing back, yet changes its first argument.
        op = _name(func)
        outputs = tensors(args[:1] if op == "setitem" else result)
        if outputs and op != "cond":
            self._write_down(func, args, kwargs, outputs, work)
        elif op in LEAVES:
            self._escaped += [v for v in self._call(func, args, kwargs).inputs if v.live]
        elif op in NUMBERS:
            self._became_number = True
        return result

    def _write_down(
        self,
        func: object,
        args: tuple[object, ...],
        kwargs: dict[str, object],
        outputs: Sequence[Tensor],
        work: int,
    ) -> None:
        """Add a call; where that fails it is no fault of the net, which goes on: its cost and what it reads are unknown."""
        inputs = tensors([args, kwargs])
        try:
            call = replace(self._call(func, args, kwargs), flops=work)
            if any(tensor.is_nested for tensor in outputs):
                call = replace(call, op=f"{_name(func)}{NESTED}", bound={})
            self._keep(call, inputs, outputs)
        except Exception:  # noqa: BLE001 - PyTorch has kinds of tensors that know no shape
            here, read = self._stack[-1], [self._known[t] for t in inputs if t in self._known]
            made = tuple(self._know(tensor, live=True) for tensor in outputs)
            self.calls.append(
                Call(
                    here.path,
                    here.module,
                    f"{_name(func)} not followed",
                    (read,),
                    {},
                    made,
                    0,
                    work,
                )
            )

    def _keep(self, call: Call, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        first = call.inputs[:1]
        if self._escaped and not call.live and call.op in COMES_BACK:
            call = replace(call, op="untraced", args=(list(self._escaped),), kwargs={}, bound={})
        params = () if call.live else call.params
        made = tuple(self._know(t, live=call.live, params=params) for t in outputs)
        self.calls.append(replace(call, outputs=made, written=_written(inputs, outputs)))
        if first and (call.op == "setitem" or call.op.endswith("_")):
            self._write_through(outputs[0], first[0])
        elif call.op == "getitem":
            self._cuts[made[0].index] = self.calls[-1]

    def _write_through(self, tensor: Tensor, before: Value) -> None:
        """A tensor that was changed in place and is a view of another: that one is a new value too."""
        base = tensor._base if tensor._is_view() else None
        if base is None or base not in self._known or base is tensor:
            return
        whole, part, cut = self._known[base], self._known[tensor], self._cuts.get(before.index)
        op, bound = "overwritten", {"input": whole, "value": part}
        if cut is not None and cut.args[0] == whole:
            op, bound = "setitem", {"input": whole, "index": cut.args[1], "value": part}
        elif part.count == whole.count and tensor.is_contiguous():
            op, bound = "reshape", {"input": part, "shape": list(whole.shape)}
        live = whole.live or part.live
        here = self._stack[-1]
        made = (self._know(base, live=live, params=() if live else (*whole.params, *part.params)),)
        args = tuple(bound.values())
        self.calls.append(Call(here.path, here.module, op, args, {}, made, bound=bound))

    def _call(self, func: object, args: tuple[object, ...], kwargs: dict[str, object]) -> Call:
        plain_args = tuple(self._plain(arg) for arg in args)
        plain_kwargs = {key: self._plain(arg) for key, arg in kwargs.items()}
        here, op = self._stack[-1], _name(func)
        if any(tensor.is_nested for tensor in tensors([args, kwargs])):
            return Call(here.path, here.module, op + NESTED, plain_args, plain_kwargs)
        bound = bind(func, op, plain_args, plain_kwargs)
        return Call(here.path, here.module, op, plain_args, plain_kwargs, bound=bound)

    def _plain(self, arg: object) -> object:
        if isinstance(arg, Tensor):
            return self.value(arg)
        if isinstance(arg, list | tuple):
            return [self._plain(item) for item in arg]
        return arg


def _branch(
    pred: object,
    true_fn: Callable[..., object],
    false_fn: Callable[..., object],
    operands: Sequence[object] = (),
) -> object:
    """`torch.cond` outside a compiled graph: one of two ways."""
    return (true_fn if pred else false_fn)(*operands)


def _attention(query: Tensor, key: Tensor, value: Tensor, *_rest: object) -> object:
    """The shapes of `flex_attention`, whose changes to the scores only a compiled graph computes."""
    alike = query.shape[-3] == key.shape[-3]
    result = F.scaled_dot_product_attention(query, key, value, enable_gqa=not alike)
    return result, query.new_zeros(query.shape[:-1]), query.new_zeros(query.shape[:-1])


PLAIN: dict[str, Callable[..., object]] = {"cond": _branch, "flex_attention": _attention}


# Into NumPy, where nothing is seen, and back; and into a plain number.
LEAVES = ("numpy", "array", "tolist")
NESTED = " of nested tensors"  # of which no shape is known
NUMBERS = ("item", "float", "int", "complex", "index")
COMES_BACK = ("from_numpy", "lift_fresh", "tensor", "as_tensor", "asarray")


def _keeps(func: object, args: tuple[object, ...], kwargs: Mapping[str, object]) -> bool:
    """Whether this is batch normalisation with stored numbers that fit: its result has the shape of its input.

    Most of the time of a residual net on the meta device is spent on saying so.
    """
    if func is not F.batch_norm or len(args) != 3 or kwargs.get("training"):
        return False  # torch hands the three on by position and the others by name
    x, mean = args[:2]
    if not (isinstance(x, Tensor) and x.is_meta and x.ndim > 1 and isinstance(mean, Tensor)):
        return False
    stored = [*args[1:], kwargs.get("weight"), kwargs.get("bias")]
    return all(t.numel() == x.shape[1] for t in stored if isinstance(t, Tensor))


def _written(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    held = {_storage(tensor) for tensor in inputs}
    new = {_storage(tensor): tensor for tensor in outputs}
    return sum(t.numel() * t.element_size() for where, t in new.items() if where not in held)


def _storage(tensor: Tensor) -> int:
    try:
        return storage_id(tensor)
    except RuntimeError:  # sparse, or mapped over a batch: no memory of its own to compare
        return id(tensor)


OPERATORS = {
    "add", "sub", "mul", "truediv", "floordiv", "div", "mod", "pow", "matmul", "and", "or", "xor",
}  # fmt: skip


def _name(func: object) -> str:
    """add, not __radd__; add_, not __iadd__; T, not __get__."""
    name = str(getattr(func, "__name__", type(func).__name__)).removesuffix(".default")
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", name))
    if not (name.startswith("__") and name.endswith("__")):
        return name
    name = name.strip("_")
    if name[1:] in OPERATORS and name[0] in "ir":
        return name[1:] + "_" * (name[0] == "i")
    return name
