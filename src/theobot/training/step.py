"""One optimiser step over the processes of a run: who computes which rows, and the sum of it all.

Every process knows all rows of the step, so each works out alone what all of them do. The batch is
the same whatever the number of processes and the token budget; only the order of additions differs.

DDP's own reduction would start inside the last backward pass, where a process that runs out of
memory leaves the others waiting. Therefore all passes run under `no_sync`, a process may have any
number of them, and one all-reduce at the end carries gradients, loss, and whether some process ran
out of memory or was asked to stop. The adapter's gradients are small: overlapping their way with
the computing would save a few milliseconds per step.

FSDP exchanges weights in every layer, so its processes take part in the same number of passes, and
its last backward pass reduces the gradients. Out of memory in one process cannot be mended there:
the others are in the middle of an exchange.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeVar

import torch
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from theobot.data.batches import pack, share_out
from theobot.data.tokens import TokenRow
from theobot.errors import ModelError
from theobot.model import ranks
from theobot.model.device import is_out_of_memory

T = TypeVar("T")

_ROWS_NAMED = 5
"""Most rows that an error message names."""


class Pass(NamedTuple):
    """Rows laid end to end in one forward and backward pass.

    `weight` multiplies their summed loss; 0 is a filler that only keeps FSDP's exchanges in step.
    """

    rows: list[TokenRow]
    weight: float

    @property
    def tokens(self) -> int:
        """Tokens of the pass."""
        return tokens_of(self.rows)


class StepOutcome(NamedTuple):
    """What all processes know after a step. `loss` is (), the sum over all of them."""

    loss: torch.Tensor
    out_of_memory: bool
    stop: bool


def tokens_of(rows: Iterable[TokenRow]) -> int:
    """Tokens of some rows."""
    return sum(len(row.input_ids) for row in rows)


def passes_of_step(
    rows: Sequence[TokenRow], budget: int, processes: int
) -> list[list[list[TokenRow]]]:
    """The passes of each process: its share of the rows, packed under the token budget."""
    lengths = [len(row.input_ids) for row in rows]
    return [
        [
            [rows[share[place]] for place in group]
            for group in pack([lengths[index] for index in share], budget)
        ]
        for share in share_out(lengths, processes)
    ]


def my_passes(
    each: Sequence[Sequence[list[TokenRow]]], rank: int, weight: float, model: torch.nn.Module
) -> list[Pass]:
    """This process's part of `passes_of_step`, ready for `model`.

    Under FSDP gradients are averaged over the processes, so their number multiplies the weight,
    and whoever has fewer passes fills up.
    """
    if not isinstance(model, FSDPModule):
        return [Pass(rows, weight) for rows in each[rank]]
    passes = [Pass(rows, weight * len(each)) for rows in each[rank]]
    shortest = min(
        (row for passes in each for rows in passes for row in rows),
        key=lambda row: len(row.input_ids),
    )
    missing = max(len(passes) for passes in each) - len(passes)
    return passes + [Pass([shortest], 0.0)] * missing


def worst_passes(
    rows: Sequence[TokenRow], steps: Iterable[Sequence[Sequence[TokenRow]]], budget: int
) -> list[list[TokenRow]]:
    """The passes of a run that need most memory: the longest row alone, and the fullest pass.

    Args:
        rows: all rows.
        steps: the rows of each process, by step.
        budget: token budget of a pass.
    """
    longest = max(rows, key=lambda row: len(row.input_ids))
    fullest = [longest]
    for shares in steps:
        for share in shares:
            for group in pack([len(row.input_ids) for row in share], budget):
                fullest = max(fullest, [share[index] for index in group], key=tokens_of)
    return [[longest], fullest] if len(fullest) > 1 else [[longest]]


def run_passes(
    model: torch.nn.Module,
    passes: Sequence[Pass],
    summed_loss: Callable[[torch.nn.Module, Sequence[TokenRow]], torch.Tensor],
) -> list[torch.Tensor]:
    """Forward and backward of each pass; the weighted losses () of those that are no fillers."""
    losses = []
    for number, part in enumerate(passes, start=1):
        with without_reduction(model, last=number == len(passes)):
            loss = summed_loss(model, part.rows) * part.weight
            loss.backward()
        if part.weight:
            losses.append(loss.detach())
    return losses


def without_reduction(model: torch.nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Keep a pass's gradients in this process; FSDP reduces them in its `last` backward pass."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    elif isinstance(model, DistributedDataParallel):
        context: AbstractContextManager[None] = model.no_sync()
        return context
    return contextlib.nullcontext()


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of a step's dropout.

    Of the step's own, so that a step that is done again, or after a resumption, draws the same.
    """
    digest = hashlib.blake2b(f"{seed} {step} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """The result of `work`, or None if memory ran out in it."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Only here is the traceback gone, which keeps the tensors of the failed pass alive.
    return None


def not_finite(step: int, what: str, names: Sequence[str]) -> ModelError:
    """The error of a step that cannot be learned from.

    Args:
        step: its number, from 1.
        what: what was found.
        names: where the rows come from with which it was found.
    """
    more = f" and {len(names) - _ROWS_NAMED} more" if len(names) > _ROWS_NAMED else ""
    where = f" with {', '.join(names[:_ROWS_NAMED])}{more}" if names else ""
    return ModelError(
        f"Step {step}: {what}{where}. Nothing was learned from this step, and the last checkpoint "
        "is sound. Look at the rows; if they are in order, lower --training.learning-rate, or "
        "train in float32 with --training.no-bf16."
    )


class StepSum:
    """One all-reduce per step.

    Args:
        model: whose trainable parameters' gradients are summed; FSDP has done that by itself.
        device: where the processes exchange tensors.
    """

    def __init__(self, model: torch.nn.Module, device: torch.device) -> None:
        alone = ranks.world_size() == 1 or isinstance(model, FSDPModule)
        # See `my_passes`: under FSDP the weights are that much larger.
        self.share = ranks.world_size() if isinstance(model, FSDPModule) else 1
        self.parameters = [p for p in model.parameters() if p.requires_grad and not alone]
        size = sum(parameter.numel() for parameter in self.parameters)
        # Made once: after an out-of-memory there might be no room for it.
        self.buffer = torch.zeros(size + 3, device=device)
        self.tail = self.buffer[size:]
        pieces = self.buffer[:size].split([p.numel() for p in self.parameters]) if size else ()
        self.pieces = [
            piece.view_as(parameter)
            for piece, parameter in zip(pieces, self.parameters, strict=True)
        ]

    def __call__(self, losses: Sequence[torch.Tensor] | None, *, stop: bool) -> StepOutcome:
        """Add up over all processes; waits for the device, once per step.

        Args:
            losses: (), this process's parts of the loss, or None if it ran out of memory.
            stop: whether this process was asked to stop.

        Returns:
            what all processes know; the gradients are those of the whole step unless some process
            ran out of memory.
        """
        self.buffer.zero_()
        with torch.no_grad():
            for parameter, piece in zip(self.parameters, self.pieces, strict=True):
                if parameter.grad is not None and losses is not None:
                    piece.copy_(parameter.grad)
            if losses is not None:
                self.tail[0] = sum(losses) / self.share
            self.tail[1:] = torch.tensor([float(losses is None), float(stop)])
            ranks.add_up(self.buffer)
            for parameter, piece in zip(self.parameters, self.pieces, strict=True):
                parameter.grad = piece.to(parameter.dtype, copy=True)
        _, out_of_memory, stops = self.tail.tolist()
        return StepOutcome(self.tail[0].clone(), out_of_memory > 0, stops > 0)
