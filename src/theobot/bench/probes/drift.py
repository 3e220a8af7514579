"""How far the adapter moves the model on text that is not its business.

Where the base's own answers to the out-of-domain questions and a neutral text are read once with
the adapter off and once with it on, by the same loaded weights: KL(base || Theobot) of the next
token, how often both would choose the same one, and how much likelier or less likely each finds
what stands there. A small divergence shows no damage; a large one proves none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot.bench.answers import AnswerRecord
from theobot.bench.probes.passes import PASS_TOKENS, passes
from theobot.data.prompt import Turn
from theobot.data.tokens import TokenRow, tokenize_prompt
from theobot.generation.generator import ARMS

if TYPE_CHECKING:
    import torch

    from theobot.generation.generator import Arm
    from theobot.generation.local import LocalGenerator

PASS_POSITIONS = 256
"""Most positions whose logits, (positions, V) in float32 for each arm, exist at one time."""

NEUTRAL_TEXT = (
    "The ferry leaves the harbour at seven in the morning and takes a little under three hours. "
    "In winter it sails only when the wind allows, so it is worth telephoning the office the "
    "evening before. There is a small shop on the lower deck which sells tea, sandwiches and "
    "newspapers, and a room with a view over the stern where dogs are welcome. Bicycles travel "
    "free of charge; cars must be booked. On a clear day you can see the lighthouse for most of "
    "the crossing, and sometimes porpoises follow the ship for a mile or two. From the pier it is "
    "ten minutes on foot to the village, where a bus meets every boat. The road then climbs "
    "steadily past two farms and a quarry before it reaches the moor. If you mean to walk to the "
    "northern bay, take water and a map: the path is well made at first, but after the second "
    "gate it is marked by nothing more than a few white stones. Allow four hours there and back, "
    "and remember that the last ferry does not wait."
)
"""Plain English about nothing that is taught, written for this purpose."""

_QUANTILES = {"median": 0.5, "90 %": 0.9, "99 %": 0.99}


class TokenFigures(NamedTuple):
    """What the arms make of each of T tokens, every field (T,).

    Attributes:
        kl: KL(base || Theobot) of the distributions of this token, in nats.
        same: whether both find the same token likeliest.
        base: nats, the negative log-likelihood of the token that stands there, by the base.
        theobot: the same by Theobot.
    """

    kl: torch.Tensor
    same: torch.Tensor
    base: torch.Tensor
    theobot: torch.Tensor


class Drift(NamedTuple):
    """Figures over all scored tokens of some texts; divergences and likelihoods in nats per token.

    `kl` holds the mean and quantiles by name; `top1` is the share of tokens for which both arms
    have the same first choice.
    """

    texts: int
    tokens: int
    kl: dict[str, float]
    top1: float
    base_nats: float
    theobot_nats: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; `nats_more` is Theobot's less the base's."""
        return {**self._asdict(), "nats_more": self.theobot_nats - self.base_nats}


def measure_drift(
    generator: LocalGenerator, records: Iterable[AnswerRecord]
) -> dict[str, Any] | None:
    """Drift on the base's own answers, each after its prompt, and on the neutral text.

    Args:
        generator: with both arms.
        records: of the out-of-domain questions; those of the base are used, as it was asked.

    Returns:
        `Drift.to_json` of the answers, with that of the neutral text as "neutral_text"; None
        without answers.
    """
    rows = [_row_of(generator, record) for record in records if record.arm == "base"]
    answers = compare_rows(generator, rows)
    neutral = compare_rows(generator, [_neutral_row(generator)])
    if answers is None or neutral is None:
        return None
    return {**answers.to_json(), "neutral_text": neutral.to_json()}


def compare_rows(generator: LocalGenerator, rows: Sequence[TokenRow]) -> Drift | None:
    """Compare both arms on the learned tokens of some rows; None if there are none.

    Args:
        generator: with both arms.
        rows: cut at the model's context window.
    """
    import torch

    stretches = [one for row in rows for one in _stretches(row, generator.context_window)]
    figures = [
        part for batch in passes(stretches, _share) for part in _figures_of(generator, batch)
    ]
    if not figures:
        return None
    kl, same, base, theobot = (torch.cat(parts).double() for parts in zip(*figures, strict=True))
    by_name = {name: float(kl.quantile(share)) for name, share in _QUANTILES.items()}
    return Drift(
        sum(row.scored > 0 for row in rows),
        len(kl),
        {"mean": float(kl.mean()), **by_name},
        float(same.mean()),
        float(base.mean()),
        float(theobot.mean()),
    )


def token_figures(base: torch.Tensor, theobot: torch.Tensor, targets: torch.Tensor) -> TokenFigures:
    """Compare two next-token distributions at T positions.

    Args:
        base: logits (T, V), of any floating format.
        theobot: logits (T, V).
        targets: (T,), the ids that stand there.
    """
    log_base, log_theobot = base.float().log_softmax(-1), theobot.float().log_softmax(-1)
    index = targets.unsqueeze(-1)
    # Rounding can make a divergence slightly negative where it is zero.
    kl = log_base.exp().mul_(log_base - log_theobot).sum(-1).clamp_(min=0)
    return TokenFigures(
        kl.cpu(),
        (log_base.max(-1).indices == log_theobot.max(-1).indices).cpu(),
        -log_base.gather(-1, index).squeeze(-1).cpu(),
        -log_theobot.gather(-1, index).squeeze(-1).cpu(),
    )


class _Stretch(NamedTuple):
    """Ids of a row up to a scored token, and how many of the last ones are scored."""

    ids: list[int]
    scored: int


def _stretches(row: TokenRow, window: int) -> Iterator[_Stretch]:
    """The learned tokens of a row, at most `PASS_POSITIONS` at a time."""
    ids = row.input_ids[:window]
    for start in range(max(row.learned_from, 1), len(ids), PASS_POSITIONS):
        stop = min(start + PASS_POSITIONS, len(ids))
        yield _Stretch(ids[:stop], stop - start)


def _share(stretch: _Stretch) -> int:
    """What a stretch takes of `PASS_TOKENS`, so that `PASS_POSITIONS` are kept to as well."""
    return max(len(stretch.ids), stretch.scored * PASS_TOKENS // PASS_POSITIONS)


def _figures_of(generator: LocalGenerator, batch: Sequence[_Stretch]) -> Iterator[TokenFigures]:
    """Rows are padded on the left, so that what is scored ends together."""
    import torch

    # The logits of a position say what comes next; what comes after the last is not asked.
    ids, mask, positions = generator.decoder.pad([one.ids[:-1] for one in batch])
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    longest = max(one.scored for one in batch)
    base, theobot = (_logits(generator, arm, inputs, longest) for arm in ARMS)
    for row, one in enumerate(batch):
        targets = torch.tensor(one.ids[-one.scored :], device=ids.device)
        yield token_figures(base[row, -one.scored :], theobot[row, -one.scored :], targets)


def _logits(
    generator: LocalGenerator, arm: Arm, inputs: Mapping[str, torch.Tensor], last: int
) -> torch.Tensor:
    """Logits (B, last, V) of the last positions."""
    import torch

    with generator.using(arm), torch.inference_mode():
        output = generator.network(**inputs, use_cache=False, logits_to_keep=last)
    logits: torch.Tensor = output.logits
    return logits


def _row_of(generator: LocalGenerator, record: AnswerRecord) -> TokenRow:
    """Prompt and answer, tokenised apart as in training; the end is scored where it was written."""
    tokenizer = generator.tokenizer
    prompt = tokenize_prompt(tokenizer, [Turn("user", record.question)], record.prompt_format)
    answer = tokenizer(record.text, add_special_tokens=False, verbose=False)["input_ids"]
    end = [tokenizer.eos_token_id] if record.stop_reason == "eos" else []
    return TokenRow([*prompt, *answer, *end], len(prompt), record.id)


def _neutral_row(generator: LocalGenerator) -> TokenRow:
    ids = generator.tokenizer(NEUTRAL_TEXT, add_special_tokens=False, verbose=False)["input_ids"]
    return TokenRow(list(ids), 0, "neutral text")
