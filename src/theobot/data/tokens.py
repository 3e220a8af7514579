"""Example -> token ids, and which of them are learned.

Prompt and completion are tokenised separately and their ids concatenated: tokenised together,
Qwen's vocabulary merges the colon of "Assistant:" with a following capital letter, so that the
prompt seen in training would not be the prompt used to ask. The end-of-sequence id is always the
last learned token; labels come from lengths, never from comparing with the padding id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from theobot.config import PromptFormat, TokenSettings
from theobot.data.examples import Example
from theobot.data.prompt import Turn, parse_prompt, render_prompt
from theobot.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenRow(NamedTuple):
    """One row for the model.

    `learned_from` is the index of the first learned token; all tokens from there on are learned.
    """

    input_ids: list[int]
    learned_from: int
    where: str

    @property
    def scored(self) -> int:
        """Tokens that get a cross-entropy: learned ones with a token before them."""
        return len(self.input_ids) - max(self.learned_from, 1)


def tokenize_prompt(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], prompt_format: PromptFormat
) -> list[int]:
    """Ids of the rendered prompt, the same in training and when asking."""
    return tokenize_text(tokenizer, render_prompt(turns, prompt_format, tokenizer))


def tokenize_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of a text as it stands, with nothing added."""
    return _encode(tokenizer, [text])[0]


def tokenize_rows(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, settings: TokenSettings
) -> list[TokenRow]:
    """Tokenise all rows.

    Raises:
        DataError: rows longer than `settings.max_length`, all of them by line number.
    """
    rows = _rows(examples, tokenizer, settings)
    _refuse_long_rows(rows, settings.max_length)
    return rows


def count_tokens(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, settings: TokenSettings
) -> list[int]:
    """How many tokens each row has, its end-of-sequence id included; rows of any length."""
    return [len(row.input_ids) for row in _rows(examples, tokenizer, settings)]


def _rows(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, settings: TokenSettings
) -> list[TokenRow]:
    prompts = _encode(tokenizer, [_rendered(e, tokenizer, settings) for e in examples])
    completions = _encode(tokenizer, [example.completion for example in examples])
    end = tokenizer.eos_token_id
    rows = []
    for example, prompt, completion in zip(examples, prompts, completions, strict=True):
        learned_from = len(prompt) if settings.loss_on == "completion" else 0
        rows.append(TokenRow([*prompt, *completion, end], learned_from, example.where))
    return rows


def _rendered(example: Example, tokenizer: PreTrainedTokenizerBase, settings: TokenSettings) -> str:
    if settings.prompt_format == "seed":
        return example.prompt
    turns = parse_prompt(example.prompt)
    assert turns is not None, f"{example.where}: unchecked prompt"
    return render_prompt(turns, settings.prompt_format, tokenizer)


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    # verbose=False: transformers' warning about its own length limit says nothing about ours.
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
    return [list(ids) for ids in encoded["input_ids"]]


def _refuse_long_rows(rows: Sequence[TokenRow], max_length: int) -> None:
    problems = [
        f"{row.where}: {len(row.input_ids)} tokens; at most {max_length} are allowed."
        for row in rows
        if len(row.input_ids) > max_length
    ]
    if problems:
        longest = max(len(row.input_ids) for row in rows)
        problems.append(
            f"Shorten these rows, or allow longer ones with --tokens.max-length {longest} "
            "(needs more memory). No row is ever cut."
        )
        raise DataError(problems)
