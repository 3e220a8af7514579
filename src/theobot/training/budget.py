"""Does it fit, how are the passes cut, and how long will it take? Asked before the weights load."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow
from theobot.errors import ModelError
from theobot.model.memory import GIB, Memory, PassPlan, predict_memory
from theobot.model.shape import QWEN25, ModelShape

if TYPE_CHECKING:
    import torch

CAP = {"cpu": 640}
"""Most tokens in a pass, by device type: on a CPU such a pass is near its cache."""
DEVICE_CAP = 4096
"""The same on an accelerator, whose matrix products gain nothing from more."""
_WORTHWHILE = 512
"""Smaller passes starve a GPU; then computing some layers twice is the better way to save."""
_STEPS = 32
"""Tokens by which a budget is lowered in search of one that fits."""
COMFORT = 0.91
"""Share of the free memory that is planned with, so that a desktop beside it has room to move."""
_EFFICIENCY = 0.75
"""Share of the matrix-multiply rate that training reaches, for the expected time."""
_LONG_TRY_S = 0.1


class RowLengths(NamedTuple):
    """What the data needs, in tokens.

    Attributes:
        longest: tokens of the longest row.
        step: most tokens that one optimiser step can hold.
        total: tokens of all rows.
        scored: learned tokens of all rows.
    """

    longest: int
    step: int
    total: int
    scored: int

    @classmethod
    def of(cls, rows: Sequence[TokenRow], examples_per_step: int) -> RowLengths:
        """Count token rows."""
        lengths = [len(row.input_ids) for row in rows]
        step = sum(heapq.nlargest(examples_per_step, lengths))
        return cls(max(lengths), step, sum(lengths), sum(row.scored for row in rows))

    def plan(self, pass_tokens: int, every_n_layers: int) -> PassPlan:
        """The passes of a budget, with the data's share of scored tokens."""
        scored = math.ceil(pass_tokens * self.scored / self.total)
        return PassPlan(pass_tokens, every_n_layers, scored, min(self.longest, pass_tokens))


class Verdict(NamedTuple):
    """Whether a run fits into the memory of its device.

    Attributes:
        fits: it does, with `plan`.
        plan: how the passes are cut; if it does not fit, the smallest way.
        memory: what that needs.
        available: bytes free on the device, or those asked about.
        device_type: as in `judge`.
        changes: what differs from the settings so that it fits, as sentences.
        nearest: the nearest run that fits, as a sentence; None if this one does, or none was found.
    """

    fits: bool
    plan: PassPlan
    memory: Memory
    available: float
    device_type: str
    changes: list[str]
    nearest: str | None

    @property
    def sentence(self) -> str:
        """The verdict for a person."""
        need, have = self.memory.total / GIB, self.available / GIB
        if not self.fits:
            nearest = self.nearest or "No Qwen2.5 model fits: free memory, or use another device."
            return f"Does not fit: needs {need:.2f} GiB, {have:.2f} GiB are free. {nearest}"
        how = f" with these settings: {'; '.join(self.changes)}" if self.changes else ""
        if self.device_type == "cpu":
            free = f"{have:.2f} GiB of this computer's memory are free"
            return f"Fits{how}: needs {need:.2f} GiB more than now; {free}."
        return f"Fits{how}: needs {need:.2f} GiB of {have:.2f} GiB."

    def facts(self) -> dict[str, Any]:
        """Every part in GiB, for `--dry-run`."""
        parts = {name: round(value / GIB, 3) for name, value in self.memory._asdict().items()}
        return {
            "verdict": self.sentence,
            "pass_tokens": self.plan.pass_tokens,
            "checkpoint_every_n_layers": self.plan.every_n_layers,
            "gib": {**parts, "total": round(self.memory.total / GIB, 3)},
            "available_gib": round(self.available / GIB, 3),
        }


def judge(
    shape: ModelShape,
    settings: TrainSettings,
    rows: RowLengths,
    available: float,
    device_type: str,
    processes: int = 1,
) -> Verdict:
    """Cut the passes so that the run fits, recomputing as little as possible.

    Args:
        shape: the base model's.
        settings: what is asked for; a token budget or a number of layers given there is kept to.
        rows: what the data needs.
        available: bytes.
        device_type: "cuda" (ROCm too), "mps" or "cpu".
        processes: of the run.

    Raises:
        ModelError: adapters on layers whose size is not known.
    """
    tried = [
        (plan, predict_memory(shape, settings, plan, device_type, processes))
        for plan in _plans(settings, rows, device_type)
    ]
    for limit in (COMFORT * available, available):
        for plan, memory in tried:
            if memory.total <= limit:
                changes = _changes(settings, plan, most_tokens(settings, rows, device_type))
                return Verdict(True, plan, memory, available, device_type, changes, None)
    smallest = min(tried, key=lambda found: found[1].total)
    nearest = _nearest(shape, settings, rows, available, device_type)
    return Verdict(False, *smallest, available, device_type, [], nearest)


def most_tokens(settings: TrainSettings, rows: RowLengths, device_type: str) -> int:
    """The token budget if memory sets no limit: never less than a row, never more than a step."""
    cap = settings.training.pass_tokens or CAP.get(device_type, DEVICE_CAP)
    return min(max(cap, rows.longest), rows.step)


def automatic_most(
    settings: TrainSettings, rows: Sequence[TokenRow], device: torch.device
) -> int | None:
    """As `most_tokens`; None where the person has set the budget."""
    if settings.training.pass_tokens:
        return None
    return most_tokens(settings, RowLengths.of(rows, settings.examples_per_step), device.type)


def _plans(settings: TrainSettings, rows: RowLengths, device_type: str) -> Iterator[PassPlan]:
    """What to try, best first: large passes, then some layers twice, then small passes."""
    cap = most_tokens(settings, rows, device_type)
    floor = min(cap, max(rows.longest, _WORTHWHILE))
    asked = settings.training.checkpoint_every_n_layers
    layers = (0, 4, 3, 2, 1) if asked is None else (asked,)
    for every in layers:
        for tokens in [*range(cap, floor, -_STEPS), floor]:
            yield rows.plan(tokens, every)
    for tokens in [*range(floor - _STEPS, rows.longest, -_STEPS), rows.longest]:
        yield rows.plan(tokens, layers[-1])


def _changes(settings: TrainSettings, plan: PassPlan, most: int) -> list[str]:
    changes = []
    if plan.pass_tokens < most:
        changes.append(f"at most {plan.pass_tokens} tokens in a pass instead of {most}")
    if plan.every_n_layers and settings.training.checkpoint_every_n_layers is None:
        ordinal = {1: "", 2: "second ", 3: "third "}.get(plan.every_n_layers, "fourth ")
        changes.append(f"every {ordinal}layer computed twice")
    return changes


def _nearest(
    shape: ModelShape,
    settings: TrainSettings,
    rows: RowLengths,
    available: float,
    device_type: str,
) -> str | None:
    """The first change that makes it fit: recomputing, 4 bits, then the next smaller Qwen2.5."""
    training = settings.training.model_copy(update={"checkpoint_every_n_layers": 1})
    recomputing = settings.model_copy(update={"training": training})
    tries = [("--training.checkpoint-every-n-layers 1", shape, recomputing)]
    if device_type != "mps" and not settings.load_in_4bit:
        in_4bit = recomputing.model_copy(update={"load_in_4bit": True})
        tries.append(("--load-in-4bit", shape, in_4bit))
    smaller = [
        (size, other) for size, other in QWEN25.items() if other.parameters < shape.parameters
    ]
    for size, other in sorted(smaller, key=lambda pair: -pair[1].parameters):
        tries.append((f"--model Qwen/Qwen2.5-{size}-Instruct", other, recomputing))
    for flag, other, changed in tries:
        memory = predict_memory(other, changed, rows.plan(rows.longest, 1), device_type)
        if memory.total <= available:
            return f"Nearest that fits: {flag} ({memory.total / GIB:.2f} GiB at the least)."
    return None


def tuned(points: Sequence[tuple[int, float]], limit: float, least: int, most: int) -> int:
    """The token budget that two measured passes allow, by the line through them.

    Args:
        points: tokens and peak bytes of a small and a larger pass.
        limit: bytes that may be used.
        least: tokens of the longest row.
        most: tokens beyond which nothing is gained.
    """
    (few, low), (many, high) = points
    by_token = (high - low) / (many - few)
    if by_token <= 0:
        return most
    return max(least, min(most, int(few + (limit - low) / by_token)))


def rows_of(rows: Sequence[TokenRow], tokens: int) -> list[TokenRow]:
    """The first rows that have so many tokens together, or all."""
    chosen: list[TokenRow] = []
    for row in rows:
        chosen.append(row)
        tokens -= len(row.input_ids)
        if tokens <= 0:
            break
    return chosen


def training_flops(shape: ModelShape, rows: RowLengths, every_n_layers: int) -> float:
    """Floating-point operations of an epoch: 4 for each frozen weight and token, 2 to recompute.

    Attention and adapters, a few per cent at the lengths of questions and answers, are not counted.
    """
    again = math.ceil(shape.layers / every_n_layers) / shape.layers if every_n_layers else 0.0
    layers = (4 + 2 * again) * shape.linear_parameters * rows.total
    return layers + 4 * shape.head_parameters * rows.scored


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a matrix product: the best of a few short tries.

    On a CPU they end with the first that takes a tenth of a second: one that has to emulate
    bfloat16 would take half a minute for all of them. (A GPU's first one starts its library.)
    """
    import torch

    best = 0.0
    for size in (256, 512, 1024, 1024, 1024, 1024):
        left = torch.ones(size, size, device=device, dtype=dtype)
        started = time.perf_counter()
        product = left @ left
        float(product[0, 0])  # waits for the device
        took = time.perf_counter() - started
        best = max(best, 2 * size**3 / took)
        if device.type == "cpu" and took > _LONG_TRY_S:
            break
    return best


def expected_seconds(
    shape: ModelShape,
    settings: TrainSettings,
    rows: RowLengths,
    plan: PassPlan,
    rate: float,
) -> float:
    """Rough time of all epochs, from the machine's matrix-multiply rate."""
    epoch = training_flops(shape, rows, plan.every_n_layers)
    return epoch * settings.training.num_train_epochs / (rate * _EFFICIENCY)


def refuse_if_too_large(verdict: Verdict, settings: TrainSettings) -> None:
    """Stop before the weights load; a token budget that the person set is theirs to try.

    Raises:
        ModelError: it does not fit.
    """
    if not verdict.fits and not settings.training.pass_tokens:
        raise ModelError(
            f"{verdict.sentence} `theobot train --dry-run` shows the parts; to try all the same, "
            f"set --training.pass-tokens {verdict.plan.pass_tokens}."
        )
