from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.probes.choices import (
    ChoiceRecord,
    parse_options,
    read_choices,
    score_choices,
    turn_options,
    write_choices,
)
from theobot.bench.questions import Question, read_questions
from theobot.data.prompt import Turn
from theobot.data.tokens import tokenize_prompt
from theobot.errors import ModelError, RunError

GET = "Which document does a husband give? A) Ketubah B) Get C) Mezuzah D) Siddur"
QUESTIONS = [
    Question("get", "in_domain", GET, 1, None, {"expected": "B"}),
    Question("open", "in_domain", "What is sin?", 2, None, {}),
    Question("two", "in_domain", "Is it? A) Yes B) No", 1, None, {"expected": "A"}),
]
FORMATS = {"base": "chat", "theobot": "seed"}
WORDS = st.text("abcxyz ,'", min_size=1, max_size=12).filter(str.strip).map(str.strip)


@pytest.mark.parametrize(
    ("text", "stem", "options"),
    [
        (GET, "Which document does a husband give?",
         {"A": "Ketubah", "B": "Get", "C": "Mezuzah", "D": "Siddur"}),
        ("Which?\nA) one\nB) two (or 2)", "Which?", {"A": "one", "B": "two (or 2)"}),
        ("Which? (a) one (b) two [1 mark]", "Which?", {"A": "one", "B": "two"}),
        ("A) x B) y", "", {"A": "x", "B": "y"}),
        ("Is vitamin A) good?", "Is vitamin A) good?", {}),
        ("What is sin?", "What is sin?", {}),
        ("Which? A) B) two", "Which? A) B) two", {}),
        ("", "", {}),
    ],
)  # fmt: skip
def test_a_question_is_taken_apart(text: str, stem: str, options: dict[str, str]):
    assert parse_options(text) == (stem, options)


def test_all_shipped_multiple_choice_questions_are_read():
    asked = [q for q in read_questions() if q.meta["qtype"] == "mcq_1"]
    assert len(asked) >= 40
    for question in asked:
        stem, options = parse_options(question.text)
        assert list(options) == ["A", "B", "C", "D"]
        assert question.meta["expected"] in options
        assert question.text == f"{stem} " + " ".join(f"{k}) {v}" for k, v in options.items())


def test_turning_moves_texts_and_leaves_everything_else():
    text = "Get a Get?\nA) one,\nB)  Get\nC) three (1 mark)"
    assert turn_options(text, 0) == text
    assert turn_options(text, 1) == "Get a Get?\nA) three\nB)  one,\nC) Get (1 mark)"
    assert turn_options(text, 3) == text


@given(stem=WORDS, texts=st.lists(WORDS, min_size=2, max_size=6))
def test_every_order_holds_every_option_once(stem: str, texts: list[str]):
    text = stem + "".join(f" {'ABCDEF'[n]}) {option}" for n, option in enumerate(texts))
    assert parse_options(text) == (stem, dict(zip("ABCDEF", texts, strict=False)))
    seen = [list(parse_options(turn_options(text, by))[1].values()) for by in range(len(texts))]
    for by, order in enumerate(seen):
        assert order == texts[len(texts) - by :] + texts[: len(texts) - by]


def by_hand(generator, question: Question, arm: str, prompt_format: str) -> dict[str, float]:
    """One order after the other, unpadded, from all logits."""
    _, options = parse_options(question.text)
    means = dict.fromkeys(options, 0.0)
    for by in range(len(options)):
        turns = [Turn("user", turn_options(question.text, by))]
        ids = tokenize_prompt(generator.tokenizer, turns, prompt_format)
        with torch.no_grad(), generator.using(arm):
            shares = generator.network(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
        shown = list(parse_options(turns[0].text)[1].values())
        letters = {}
        for letter, text in zip(options, shown, strict=True):
            starts = {
                generator.tokenizer.encode(f"{space}{letter}{end}")[0]
                for space in ("", " ")
                for end in ("", ")")
            }
            # The tiny tokenizer begins " B" with a space of its own, which tells nothing.
            starts -= {generator.tokenizer.encode(" ")[0]}
            letters[text] = sum(float(shares[i]) for i in starts)
        for letter, text in options.items():
            means[letter] += letters[text] / sum(letters.values()) / len(options)
    return means


@pytest.mark.parametrize("pass_tokens", [1, 4096])
def test_probabilities_are_those_of_every_order_by_itself(tiny_generator, pass_tokens: int):
    records = score_choices(tiny_generator, QUESTIONS, FORMATS, pass_tokens)
    assert [(r.id, r.arm) for r in records] == [
        ("get", "base"), ("two", "base"), ("get", "theobot"), ("two", "theobot"),
    ]  # fmt: skip
    for record in records:
        question = next(q for q in QUESTIONS if q.id == record.id)
        expected = by_hand(tiny_generator, question, record.arm, FORMATS[record.arm])
        assert record.probabilities == pytest.approx(expected, rel=1e-4)
        assert sum(record.probabilities.values()) == pytest.approx(1)
        assert record.letter == max(expected, key=expected.__getitem__)
    assert tiny_generator.model.get_model_status().enabled is True


def test_a_model_that_only_knows_letters_finds_all_options_alike(tiny_generator):
    """It says B whatever stands there; over all orders no option gains by that."""
    original = tiny_generator.network.forward

    def forward(*args, **kwargs):
        output = original(*args, **kwargs)
        output.logits.zero_()
        output.logits[..., tiny_generator.tokenizer.encode("B")[0]] = 9.0
        return output

    tiny_generator.network.forward = forward
    for record in score_choices(tiny_generator, QUESTIONS[:1], FORMATS):
        assert record.probabilities == pytest.approx(dict.fromkeys("ABCD", 0.25))
        assert record.letter == "A"


def test_a_model_that_knows_the_option_finds_it_at_every_letter(tiny_generator):
    """The prompts are looked at, so that a wrong turn back would show."""
    tokenizer, pad = tiny_generator.tokenizer, tiny_generator.decoder.pad
    asked: list[str] = []
    original = tiny_generator.network.forward

    def watch(rows):
        asked[:] = [tokenizer.decode(row) for row in rows]
        return pad(rows)

    def forward(*args, **kwargs):
        output = original(*args, **kwargs)
        output.logits.zero_()
        for row, prompt in enumerate(asked):
            options = parse_options(prompt.partition("User: ")[2].partition("\nAssistant")[0])[1]
            letter = next(letter for letter, text in options.items() if text == "Get")
            output.logits[row, -1, tokenizer.encode(letter)[0]] = 20.0
        return output

    tiny_generator.decoder.pad = watch
    tiny_generator.network.forward = forward
    [record] = score_choices(tiny_generator, QUESTIONS[:1], {"theobot": "seed"})
    assert record.letter == "B"
    assert record.probabilities["B"] > 0.99


def test_no_options_no_records(tiny_generator):
    assert score_choices(tiny_generator, QUESTIONS[1:2], FORMATS) == []


def test_a_tokenizer_that_cannot_tell_letters_apart_is_refused(tiny_generator, monkeypatch):
    monkeypatch.setattr(
        type(tiny_generator.tokenizer),
        "__call__",
        lambda self, texts, **_: {"input_ids": [[1, 2] for _ in texts]},
    )
    with pytest.raises(ModelError, match="tell the letters"):
        score_choices(tiny_generator, QUESTIONS, FORMATS)


def test_records_are_written_and_read(tmp_path: Path):
    records = [ChoiceRecord("é\u2028", "base", "A", {"A": 0.6, "B": 0.4})]
    path = tmp_path / "choices.jsonl"
    assert read_choices(path) == []
    write_choices(records, path)
    assert read_choices(path) == records
    path.write_text('{"id": 1}\n')
    with pytest.raises(RunError, match="damaged"):
        read_choices(path)


def test_options_are_read_without_torch():
    code = "import sys, theobot.bench.probes.choices; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
