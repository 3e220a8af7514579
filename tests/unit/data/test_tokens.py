"""Tokens and labels: separate tokenisation, completion only, EOS always learned."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theobot.config import TokenSettings
from theobot.data.examples import Example, read_examples
from theobot.data.prompt import Turn, parse_prompt
from theobot.data.tokens import tokenize_prompt, tokenize_rows
from theobot.errors import DataError

SETTINGS = TokenSettings()


def example(completion: str, question: str = "What is sewa?") -> Example:
    return Example(f"User: {question}\nAssistant:", completion, {}, "a.jsonl:1")


def test_the_last_learned_label_of_every_row_is_eos(tiny_tokenizer, rows_file):
    for format_ in ("seed", "chat"):
        chosen = TokenSettings.model_validate({"prompt_format": format_})
        for row in tokenize_rows(read_examples(rows_file), tiny_tokenizer, chosen):
            assert row.input_ids[-1] == tiny_tokenizer.eos_token_id
            assert row.learned_from < len(row.input_ids)


def test_eos_is_learned_even_where_it_is_also_the_padding(tiny_tokenizer):
    tiny_tokenizer.pad_token = tiny_tokenizer.eos_token
    (row,) = tokenize_rows([example("Service.")], tiny_tokenizer, SETTINGS)
    assert row.input_ids[-1] == tiny_tokenizer.pad_token_id
    assert row.scored == len(row.input_ids) - row.learned_from


@pytest.mark.parametrize("format_", ["seed", "chat"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(completion=st.text(min_size=1).filter(lambda text: text.strip() != ""))
def test_the_training_prefix_is_the_prompt_used_to_ask(tiny_tokenizer, format_, completion):
    row_example = example(completion)
    chosen = TokenSettings.model_validate({"prompt_format": format_, "max_length": 100_000})
    (row,) = tokenize_rows([row_example], tiny_tokenizer, chosen)
    asked = tokenize_prompt(tiny_tokenizer, parse_prompt(row_example.prompt), format_)
    assert row.input_ids[: row.learned_from] == asked


def test_prompt_and_completion_are_never_merged():
    """With a vocabulary that holds ":The", joint tokenisation would change the prompt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    for token in ("<|im_end|>", "Th", "The", ":The"):
        vocabulary[token] = len(vocabulary)
    merges = [("T", "h"), ("Th", "e"), (":", "The")]
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>")
    joint = tokenizer("User: a\nAssistant:The end")["input_ids"]
    assert vocabulary[":The"] in joint
    (row,) = tokenize_rows([example("The end", "a")], tokenizer, SETTINGS)
    assert row.input_ids[row.learned_from - 1] == vocabulary[":"]
    assert row.input_ids[row.learned_from] == vocabulary["The"]


def test_loss_on_all_learns_everything_but_the_first_token(tiny_tokenizer):
    chosen = TokenSettings.model_validate({"loss_on": "all"})
    (row,) = tokenize_rows([example("Service.")], tiny_tokenizer, chosen)
    assert row.learned_from == 0
    assert row.scored == len(row.input_ids) - 1


def test_long_rows_are_refused_with_all_their_lines_and_never_cut(tiny_tokenizer):
    rows = [
        example("short")._replace(where="a.jsonl:1"),
        example("word " * 300)._replace(where="a.jsonl:2"),
        example("word " * 400)._replace(where="a.jsonl:3"),
    ]
    chosen = TokenSettings.model_validate({"max_length": 100})
    with pytest.raises(DataError) as caught:
        tokenize_rows(rows, tiny_tokenizer, chosen)
    first, second, advice = caught.value.problems
    assert first.startswith("a.jsonl:2: ")
    assert second.startswith("a.jsonl:3: ")
    longest = second.split(": ")[1].split()[0]
    assert f"--tokens.max-length {longest}" in advice
    allowed = TokenSettings.model_validate({"max_length": int(longest)})
    assert len(tokenize_rows(rows, tiny_tokenizer, allowed)) == 3


def test_a_prompt_of_several_turns_tokenises_alike_in_training_and_asking(tiny_tokenizer):
    turns = [Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c")]
    prompt = "User: a\nAssistant: b\nUser: c\nAssistant:"
    row_example = Example(prompt, "d", {}, "x:1")
    (row,) = tokenize_rows([row_example], tiny_tokenizer, SETTINGS)
    assert row.input_ids[: row.learned_from] == tokenize_prompt(tiny_tokenizer, turns, "seed")
