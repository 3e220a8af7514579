"""Multiple choice by likelihood: the option whose letter a model finds likeliest, in every order.

Models favour some letters whatever stands behind them. So each question is asked once for every
option, with the options turned through all places, and the probabilities are averaged by option
(cyclic orders; with n options each is once at every letter).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import TypeAdapter

from theobot.bench.probes.passes import PASS_TOKENS, passes
from theobot.bench.questions import Question
from theobot.bench.scoring.options import LETTERS, read_options, without_tariff
from theobot.config import PromptFormat
from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.errors import ModelError, RunError
from theobot.generation.generator import Arm
from theobot.run_folder import write_text

if TYPE_CHECKING:
    from theobot.generation.local import LocalGenerator

CHOICES = "choices.jsonl"


class ChoiceRecord(NamedTuple):
    """What one arm chooses.

    Args:
        id: of the question.
        arm: who.
        letter: of the likeliest option, as the question has it; the first of equals.
        probabilities: of each option by its letter, mean over the orders; they sum to 1.
    """

    id: str
    arm: Arm
    letter: str
    probabilities: dict[str, float]


class _Order(NamedTuple):
    """A question with its options `by` places further on, as token ids for one arm."""

    id: str
    by: int
    prompt: list[int]


def parse_options(text: str) -> tuple[str, dict[str, str]]:
    """Take a question apart into its stem and its options by letter.

    Returns:
        ("Which ...?", {"A": "Get", "B": "Siddur"}); the whole text and {} without options.
    """
    options = _options(text)
    if not options:
        return text, {}
    first, _ = _spans(text, options)[0]
    # Without the mark before the first option, such as "A)" or "(a)".
    return "".join(text[:first].rsplit(None, 1)[:-1]), options


def turn_options(text: str, by: int) -> str:
    """The question with each option `by` places further on, the last ones at the beginning.

    Marks, spaces, the tariff and whatever else stands around the options stay as they are.
    """
    options = _options(text)
    texts = list(options.values())
    pieces, end = [], 0
    for place, (start, stop) in enumerate(_spans(text, options)):
        pieces += [text[end:start], texts[(place - by) % len(texts)]]
        end = stop
    return "".join([*pieces, text[end:]])


def score_choices(
    generator: LocalGenerator,
    questions: Sequence[Question],
    formats: Mapping[Arm, PromptFormat],
    pass_tokens: int = PASS_TOKENS,
) -> list[ChoiceRecord]:
    """Choose for every question with options, each arm in its format; others give no record.

    Args:
        generator: with the arms that `formats` names.
        questions: any.
        formats: who chooses, and in which prompt format each is asked.
        pass_tokens: most tokens of a pass, or one prompt.

    Returns:
        By arm, then in the order of the questions.

    Raises:
        ModelError: the tokenizer tells the letters not apart.
    """
    asked = {q.id: (q.text, options) for q in questions if (options := parse_options(q.text)[1])}
    starts = _letter_tokens(generator, max((len(o) for _, o in asked.values()), default=0))
    records = []
    for arm, chosen in formats.items():
        orders = [
            _Order(name, by, _prompt(generator, turn_options(text, by), chosen))
            for name, (text, options) in asked.items()
            for by in range(len(options))
        ]
        scores = _letter_scores(generator, arm, orders, starts, pass_tokens)
        for name, (_, options) in asked.items():
            shares = _mean_shares([scores[name, by] for by in range(len(options))])
            by_letter = dict(zip(options, shares, strict=True))
            records.append(
                ChoiceRecord(name, arm, max(options, key=by_letter.__getitem__), by_letter)
            )
    return records


def write_choices(records: Iterable[ChoiceRecord], path: Path) -> None:
    """Write one record a line.

    Raises:
        RunError: the file cannot be written.
    """
    lines = [json.dumps(record._asdict(), ensure_ascii=False) for record in records]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_choices(path: Path) -> list[ChoiceRecord]:
    """Read records; no file, no records.

    Raises:
        RunError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        record = TypeAdapter(ChoiceRecord)
        return [record.validate_json(line, strict=True) for line in lines if line.strip()]
    except (OSError, ValueError):
        raise RunError(f"{path}: damaged. Delete it, and type `theobot bench` again.") from None


def _options(text: str) -> dict[str, str]:
    """Options by letter; none if one of them is empty."""
    options = read_options(text)
    return options if all(options.values()) else {}


def _spans(text: str, options: Mapping[str, str]) -> list[tuple[int, int]]:
    """Where each option begins and ends: found from the end, where nothing else can stand."""
    spans: list[tuple[int, int]] = []
    end = len(without_tariff(text))
    for option in reversed(list(options.values())):
        start = text.rindex(option, 0, end)
        spans.append((start, start + len(option)))
        end = start
    return spans[::-1]


def _prompt(generator: LocalGenerator, text: str, chosen: PromptFormat) -> list[int]:
    return tokenize_prompt(generator.tokenizer, [Turn("user", text)], chosen)


def _letter_tokens(generator: LocalGenerator, count: int) -> list[list[int]]:
    """Ids with which an answer may begin that names a letter: "B", "B)", both also after a space.

    A spelling is left out if letters begin with the same token in it, such as a space.
    """
    found: list[set[int]] = [set() for _ in range(count)]
    for spelling in ("{}", "{})", " {}", " {})"):
        texts = [spelling.format(letter) for letter in LETTERS[:count]]
        encoded = generator.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        firsts = [ids[0] for ids in encoded]
        if len(set(firsts)) == count:
            for ids, first in zip(found, firsts, strict=True):
                ids.add(first)
    if not all(found):
        raise ModelError(
            f'model "{generator.name}": its tokenizer has no tokens that tell the letters of '
            "options apart, so that multiple choice cannot be scored by likelihood."
        )
    return [sorted(ids) for ids in found]


def _letter_scores(
    generator: LocalGenerator,
    arm: Arm,
    orders: Sequence[_Order],
    starts: Sequence[Sequence[int]],
    pass_tokens: int,
) -> dict[tuple[str, int], list[float]]:
    """By question and order, the log of each letter's probability as the next token.

    But for a constant, the log of the sum over the vocabulary, which is the same for all letters.
    """
    import torch

    network, decoder = generator.network, generator.decoder
    scores: dict[tuple[str, int], list[float]] = {}
    # As an index: torch on a CPU copies the LM head for each row of a mere slice.
    last = torch.tensor([-1], device=network.device)
    with generator.using(arm), torch.inference_mode():
        for batch in passes(orders, lambda order: len(order.prompt), pass_tokens):
            ids, mask, positions = decoder.pad([order.prompt for order in batch])
            output = network(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                use_cache=False,
                logits_to_keep=last,
            )
            logits = output.logits[:, -1].float()
            letters = [logits[:, tokens].logsumexp(dim=-1) for tokens in starts]
            rows = torch.stack(letters, dim=1).tolist()
            scores |= {(order.id, order.by): row for order, row in zip(batch, rows, strict=True)}
    return scores


def _mean_shares(scores: Sequence[Sequence[float]]) -> list[float]:
    """Mean probability of each of n options over its n orders, in each of which they sum to 1.

    Args:
        scores: for each order, logs of the letters' probabilities; letters beyond the n-th do not
            count. The option of place p stands at letter p + by, turned.
    """
    count = len(scores)
    sums = [0.0] * count
    for by, row in enumerate(scores):
        highest = max(row[:count])
        shares = [math.exp(score - highest) for score in row[:count]]
        for place in range(count):
            sums[place] += shares[(place + by) % count] / sum(shares)
    return [value / count for value in sums]
