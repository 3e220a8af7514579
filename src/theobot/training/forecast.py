"""What a run will need, told before any weight is loaded: by `--dry-run`, and by each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.config import TrainSettings
from theobot.data.tokens import TokenRow, tokenize_rows
from theobot.errors import ModelError
from theobot.model import ranks
from theobot.model.base import NANO, load_tokenizer
from theobot.model.device import choose_compute, free_memory
from theobot.model.memory import GIB, PassPlan
from theobot.model.shape import shape_of
from theobot.training import launch
from theobot.training.budget import (
    RowLengths,
    Verdict,
    expected_seconds,
    judge,
    matmul_rate,
    most_tokens,
    refuse_if_too_large,
)

if TYPE_CHECKING:
    from theobot.data.examples import Example
    from theobot.model.device import Compute


class Forecast(NamedTuple):
    """What a run will need.

    Attributes:
        verdict: None if the memory cannot be foretold.
        seconds: rough time of the whole run on this machine; None if asked about another card.
        rows: what the data needs.
        notes: what a person should know about these figures.
    """

    verdict: Verdict | None
    seconds: float | None
    rows: RowLengths
    notes: list[str]

    def facts(self) -> dict[str, Any]:
        """For `--dry-run`; the time is left to whoever shows it."""
        found: dict[str, Any] = {"tokens": self.rows._asdict()}
        if self.verdict is not None:
            found["memory"] = self.verdict.facts()
        return found


def forecast(
    settings: TrainSettings, examples: Sequence[Example], memory_gib: float | None = None
) -> Forecast:
    """Memory and time of a run, without its weights and without the network for Qwen2.5.

    Args:
        settings: of the run.
        examples: its training rows.
        memory_gib: ask about a GPU with so much free memory instead of this machine's device.

    Raises:
        TheobotError: rows that are too long, or a device that is not here.
    """
    rows, notes = _row_lengths(settings, examples)
    compute = choose_compute(settings.device, settings.training.bf16)
    device_type = compute.device.type if memory_gib is None else "cuda"
    available = free_memory(compute.device) if memory_gib is None else memory_gib * GIB
    try:
        shape = shape_of(settings.model)
        verdict = judge(shape, settings, rows, available, device_type)
    except ModelError as error:
        return Forecast(None, None, rows, [*notes, f"Memory and time are not foretold: {error}"])
    if memory_gib is not None:
        notes.append("The time depends on the card's speed and is not foretold from here.")
        return Forecast(verdict, None, rows, notes)
    notes.append(compute.sentence())
    rate = matmul_rate(compute.device, compute.dtype)
    seconds = expected_seconds(shape, settings, rows, verdict.plan, rate)
    return Forecast(verdict, seconds, rows, notes)


def _row_lengths(
    settings: TrainSettings, examples: Sequence[Example]
) -> tuple[RowLengths, list[str]]:
    """Lengths by the model's own tokenizer if it is on this machine, else by nano's."""
    notes: list[str] = []
    tokens = settings.tokens
    try:
        tokenizer = load_tokenizer(settings.model, local_only=True)
    except ModelError:
        notes.append(
            f"The tokenizer of {settings.model} is not on this machine; lengths were counted "
            "with nano's, which makes more tokens of the same text."
        )
        tokenizer = load_tokenizer(NANO)
        tokens = tokens.model_copy(update={"max_length": 10**9})
    rows = tokenize_rows(examples, tokenizer, tokens)
    return RowLengths.of(rows, settings.examples_per_step), notes


def choose_passes(
    settings: TrainSettings,
    rows: Sequence[TokenRow],
    compute: Compute,
    on_note: Callable[[str], None],
) -> PassPlan:
    """How a run cuts its passes on this device, said to the person.

    Args:
        settings: of the run; a token budget or number of layers given there is kept to.
        rows: training rows.
        compute: device and number format.
        on_note: told the verdict.

    Raises:
        ModelError: it does not fit.
    """
    lengths = RowLengths.of(rows, settings.examples_per_step)
    training, device_type = settings.training, compute.device.type
    most = most_tokens(settings, lengths, device_type)
    as_asked = lengths.plan(most, training.checkpoint_every_n_layers or 0)
    if launch.fsdp_wanted():
        on_note("Memory is not foretold under FSDP, which spreads the model over the GPUs.")
        return as_asked
    try:
        shape = shape_of(settings.model)
        available = free_memory(compute.device)
        verdict = judge(shape, settings, lengths, available, device_type, ranks.world_size())
    except ModelError as error:
        on_note(f"Memory is not foretold: {error}")
        return as_asked
    on_note(verdict.sentence)
    refuse_if_too_large(verdict, settings)
    # A budget that the person set is tried as it is; out of memory halves it.
    return as_asked if training.pass_tokens and not verdict.fits else verdict.plan
