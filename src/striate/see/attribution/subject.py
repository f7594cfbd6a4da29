"""What is explained: a net, its items, and the one number of each. N items, B of a batch, C channels.

A batch is as large as a bound of memory allows. What an item takes is counted in the first pass, which is of one item.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from striate.errors import ArgumentError, NumericError, ShapeError, out_of_memory
from striate.probe import keeping
from striate.tasks.explained import Chosen, Wanted, by_class, numbers_of, probabilities
from striate.text import times

MOST = 64  # items of a batch: more are no faster
MIB = 2**20
COPIES = 4  # of a batch of inputs that are held beside what the net keeps: itself, its mask, the product, its gradient


@dataclass(eq=False)
class Subject:
    """A net in evaluation mode and what is explained of it.

    Attributes:
        net: answers a batch.
        x: the items, as the net takes them, on its device and of its type.
        memory: bytes that a batch may take.
        numbers: what of the outputs can be explained, [B, ...].
        choose: which of these numbers are, decided by the answer to the items as they are.
        wanted: a class or number an item.
    """

    net: nn.Module
    x: Tensor
    memory: int
    numbers: Callable[[object, int], Tensor] = numbers_of
    choose: Callable[[Tensor, Sequence[Wanted]], Chosen] = lambda values, wanted: by_class(
        values, (), wanted
    )
    wanted: Sequence[Wanted] = ()
    words: list[str] = field(default_factory=list[str])
    scores: list[float] = field(default_factory=list[float])
    taken: int = 0  # bytes that one item keeps in a pass with gradients
    weights: list[Tensor] = field(default_factory=list[Tensor])  # of the numbers of each item
    shares: bool = False  # whether these numbers are scores of classes

    def __len__(self) -> int:
        return len(self.x)

    def answer(self, batch: Tensor) -> Tensor:
        """The numbers that can be explained of the answers to a batch, [B, ...] of at least 32 bits."""
        # A copy, since a net may begin in place.
        values = self.numbers(called(self.net, batch.clone()), len(batch))
        return values.to(torch.promote_types(values.dtype, torch.float32))

    def clean(self, values: Tensor) -> None:
        """Choose what is explained of the next items, from the answers to them as they are.

        Raises:
            NumericError: an answer that is no finite number.
            ArgumentError: a class that there is not.
        """
        done = len(self.weights)
        if not bool(values.isfinite().all()):
            raise NumericError(self._unsound())
        if done == len(self.x):
            return  # chosen before, as of another net that was made from this one
        wanted = (self.wanted or [None] * len(self.x))[done : done + len(values)]
        found = self.choose(values.detach(), wanted)
        self.weights += list(found.weights)
        self.shares = found.shares
        self.words += found.words
        self.scores += weighed(values.detach(), found.weights).tolist()

    def score(self, values: Tensor, items: Tensor, *, shares: bool = False) -> Tensor:
        """The explained number of each answer [B], with its gradient.

        Args:
            values: of `answer`.
            items: of which item each is, [B].
            shares: as a probability, where answers are scores of classes.
        """
        weights = torch.stack([self.weights[i] for i in items.tolist()])
        if shares and self.shares:
            return weighed(probabilities(values), weights) / weights.flatten(1).sum(1)
        return weighed(values, weights)

    def of_net(self, net: nn.Module) -> "Subject":
        """The same numbers of the same items, of another net."""
        return replace(self, net=net, taken=0)

    def batches(self, total: int, *, graph: bool = True) -> Iterator[slice]:
        """Batches of so many inputs: one, until it is known what it takes, then as many as the memory holds.

        Args:
            total: of the inputs.
            graph: whether gradients are wanted, which take as much again as what is kept for them.
        """
        start = 0
        while start < total:
            size = self._fitting(graph=graph) if self.taken else 1
            yield slice(start, min(total, start + size))
            start += size

    def counted(self, batch: Tensor, *, graph: bool = True) -> Tensor:
        """`answer`, of the first batch with what it takes.

        Raises:
            ArgumentError: it takes more than the memory that is given.
        """
        if self.taken:
            return self.answer(batch)
        with torch.enable_grad(), keeping(self.net) as kept:
            given = batch if batch.requires_grad else batch.detach().clone().requires_grad_()
            values = self.answer(given)
        largest = values.numel() * values.element_size()
        self.taken = (kept.bytes + largest) // len(batch) + self._input
        self._fitting(graph=graph)
        return values

    def settle(self) -> None:
        """Choose for all items, where no other pass has done so."""
        with torch.no_grad():
            for part in self.batches(len(self), graph=False):
                if part.stop > len(self.weights) or not self.taken:
                    self.clean(self.counted(self.x[part], graph=False).detach())

    def gradient(self, batch: Tensor, items: Tensor) -> Tensor:
        """Of the explained numbers by a batch of inputs, of its shape.

        Raises:
            ArgumentError: the number has no gradient.
        """
        with torch.enable_grad():
            leaf = batch.detach().clone().requires_grad_()
            score = self.score(self.answer(leaf), items)
            return derived(score, leaf)

    @property
    def _input(self) -> int:
        return self.x[0].numel() * self.x.element_size()

    def _fitting(self, *, graph: bool) -> int:
        one = self.taken * (2 if graph else 1) + COPIES * self._input
        if one > self.memory:
            raise ArgumentError(
                f"memory={self.memory // MIB}: one item takes up to {-(-one // MIB):,} MiB here; give at least that"
            )
        return max(1, min(MOST, self.memory // one))

    def _unsound(self) -> str:
        named = [*self.net.named_parameters(), *self.net.named_buffers()]
        for name, tensor in named:
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                return f"the net answers with what is no finite number: its weights {name} hold NaN or infinite values"
        if not bool(self.x.isfinite().all()):
            return "the net answers with what is no finite number: the items hold NaN or infinite values"
        return "the net answers with what is no finite number, although weights and items are; try float32"

    @cached_property
    def space(self) -> tuple[int, ...]:
        """The places of an item along each axis."""
        return tuple(self.x.shape[2:])


def called(net: nn.Module, batch: Tensor) -> object:
    """What a net gives.

    Raises:
        ShapeError: it does not take such a batch.
    """
    try:
        return net(batch)
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, ArgumentError) or out_of_memory(error):
            raise
        said = " ".join(str(error).split())[:200]
        raise ShapeError(
            f"{type(net).__name__} does not take items of {times(batch.shape[1:])}: {said}; "
            "give items of the size and channels that it reads"
        ) from error


def derived(score: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of scores [B] by what they were computed from.

    Raises:
        ArgumentError: there is none.
    """
    with torch.enable_grad():
        whole = score.sum()
    found = torch.autograd.grad(whole, leaf, allow_unused=True)[0] if whole.requires_grad else None
    if found is None:
        raise ArgumentError(
            "what the net answers has no gradient here; occlusion and rise need none"
        )
    return found


def weighed(values: Tensor, weights: Tensor) -> Tensor:
    """Numbers [B, ...] by their weights, added up to one an item."""
    return (values * weights).flatten(1).sum(1) if values.ndim > 1 else values * weights
