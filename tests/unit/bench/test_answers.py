from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from theobot.bench.answers import (
    AnswerRecord,
    Progress,
    answer_questions,
    cap_for,
    plan_answers,
    read_answers,
)
from theobot.bench.questions import Question
from theobot.errors import RunError
from theobot.generation.scripted import ScriptedGenerator

QUESTIONS = [
    Question(f"q-{n}", "in_domain", f"Question {n}, \u2028 “what”?", n % 4 or None, None, {})
    for n in range(11)
]


class Interrupted(Exception):
    pass


class Counting(ScriptedGenerator):
    """Answers with the sizes of its batches, so that a batch cut in two would show."""

    def __init__(self, fail_at: int | None = None):
        super().__init__({})
        self.calls = 0
        self.fail_at = fail_at

    def answer(self, conversations, arm, *, prompt_format=None, max_new_tokens):
        self.calls += 1
        if self.calls == self.fail_at:
            raise Interrupted
        size = len(conversations)
        self.script = lambda question, arm: f"{arm} {question} in a batch of {size}"
        return super().answer(conversations, arm, max_new_tokens=[99] * size)


def fill(store: Path, generator=None, questions=QUESTIONS, **options) -> list[Progress]:
    generator = generator or Counting()
    batches = plan_answers(generator, questions, batch_size=4, **options)
    return list(answer_questions(generator, batches, store))


@pytest.mark.parametrize(
    ("marks", "qtype", "cap"),
    [(1, "mcq_1", 32), (2, None, 192), (4, None, 192), (5, None, 384), (6, None, 384),
     (8, None, 768), (12, None, 768), (None, None, 192), (1, "define", 192)],
)  # fmt: skip
def test_caps_follow_the_tariff(marks: int | None, qtype: str | None, cap: int):
    assert cap_for(Question("i", "in_domain", "t", marks, None, {"qtype": qtype})) == cap


def test_every_question_is_answered_once_by_each_arm(tmp_path: Path):
    progress = fill(tmp_path / "a.jsonl")
    assert progress[0] == Progress(0, 22)
    assert progress[-1] == Progress(22, 22)
    records = read_answers(tmp_path / "a.jsonl")
    keys = {(record.id, record.arm) for record in records}
    assert len(records) == 22
    assert keys == set(itertools.product([q.id for q in QUESTIONS], ["base", "theobot"]))
    record = next(r for r in records if r.id == "q-3" and r.arm == "base")
    assert record.question == QUESTIONS[3].text
    assert record.text.startswith("base Question 3")
    assert (record.stop_reason, record.max_new_tokens, record.model) == ("eos", 192, "scripted")
    assert record.decoding["batch_size"] == 4


def test_a_store_cut_at_any_byte_is_finished_with_the_same_bytes(tmp_path: Path):
    whole = tmp_path / "whole.jsonl"
    fill(whole)
    expected = whole.read_bytes()
    for cut in [*range(0, len(expected), 397), len(expected) - 1, len(expected)]:
        store = tmp_path / "cut.jsonl"
        store.write_bytes(expected[:cut])
        progress = fill(store)
        assert store.read_bytes() == expected
        assert progress[0].done == expected[:cut].count(b"\n")


def test_nothing_is_answered_twice(tmp_path: Path):
    fill(tmp_path / "a.jsonl")
    generator = Counting()
    assert fill(tmp_path / "a.jsonl", generator) == [Progress(22, 22)]
    assert generator.calls == 0


def test_an_exception_in_the_middle_keeps_what_was_answered(tmp_path: Path):
    with pytest.raises(Interrupted):
        fill(tmp_path / "a.jsonl", Counting(fail_at=4))
    assert len(read_answers(tmp_path / "a.jsonl")) == 8
    assert fill(tmp_path / "a.jsonl")[-1].done == 22


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "another base model"),
        ({"adapter_sha256": "0"}, "another adapter"),
        ({"adapter_config_sha256": "0"}, "another adapter"),
        ({"decoding": {}}, "another device, number format"),
        ({"prompt_format": "chat"}, "other prompt formats"),
        ({"prompt_sha256": "0"}, "another prompt template"),
        ({"max_new_tokens": 5}, "other questions or tariffs"),
        ({"plan": "0"}, "other questions or tariffs"),
        ({"id": "z", "question": "z", "prompt_sha256": "0"}, "other questions or tariffs"),
    ],
)
def test_answers_made_otherwise_are_refused_and_kept(tmp_path: Path, change, named: str):
    store = tmp_path / "a.jsonl"
    fill(store)
    record = read_answers(store)[0]
    text = json.dumps({**record._asdict(), "check": None, **change}) + "\n"
    store.write_text(text)
    with pytest.raises(RunError, match=f"made with {named}.*-o, or delete"):
        fill(store)
    assert store.read_text() == text


def test_fewer_more_or_reordered_questions_are_other_questions(tmp_path: Path):
    store = tmp_path / "a.jsonl"
    fill(store)
    for other in (QUESTIONS[:5], [*QUESTIONS, QUESTIONS[0]._replace(id="n", text="New?")]):
        with pytest.raises(RunError, match="other questions"):
            fill(store, questions=other)


def test_a_damaged_line_is_refused_with_its_number(tmp_path: Path):
    store = tmp_path / "a.jsonl"
    fill(store)
    lines = store.read_bytes().split(b"\n")
    store.write_bytes(b"\n".join([lines[0], b"\0\0", *lines[2:]]))
    with pytest.raises(RunError, match=r"a\.jsonl:2: damaged"):
        fill(store)
    with pytest.raises(RunError, match="cannot be read"):
        read_answers(tmp_path / "none.jsonl")


def test_a_full_disk_is_a_sentence(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError):
        fill(tmp_path / "folder")
    with pytest.raises(RunError, match="cannot be written"):
        fill(tmp_path / "no" / "a.jsonl")


def test_same_prompt_asks_both_arms_alike(tiny_generator, tmp_path: Path):
    own = plan_answers(tiny_generator, QUESTIONS)
    same = plan_answers(tiny_generator, QUESTIONS, same_prompt=True)
    assert own[0].formats == {"base": "chat", "theobot": "seed"}
    assert {chosen for batch in same for chosen in batch.formats.values()} == {"seed"}
    hashes = [{r["prompt_sha256"] for b in same for r in b.expected if r["arm"] == arm}
              for arm in ("base", "theobot")]  # fmt: skip
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == len(QUESTIONS)


def test_records_name_model_adapter_and_decoding(tiny_generator, tiny_adapter_folder, tmp_path):
    import hashlib

    questions = [q._replace(marks=1) for q in QUESTIONS[:2]]
    fill(tmp_path / "a.jsonl", tiny_generator, questions)
    record = read_answers(tmp_path / "a.jsonl")[-1]
    assert isinstance(record, AnswerRecord)
    weights = (tiny_adapter_folder / "adapter_model.safetensors").read_bytes()
    assert record.adapter_sha256 == hashlib.sha256(weights).hexdigest()
    assert record.model == "tiny"
    assert record.decoding["method"] == "greedy"
    assert record.decoding["repetition_penalty"] == 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [("text", 5), ("id", ["x"]), ("arm", "third"), ("new_tokens", True), ("decoding", "greedy"),
     ("text", "\ud800"), ("stop_reason", None)],
)  # fmt: skip
def test_a_record_of_the_wrong_kind_is_damage(tmp_path, key, value):
    known = dict.fromkeys(AnswerRecord._fields, "x")
    known |= {"arm": "base", "prompt_format": "seed", "max_new_tokens": 9, "new_tokens": None}
    known |= {"stop_reason": "eos", "decoding": {}, "check": None}
    store = tmp_path / "answers.jsonl"
    store.write_text(json.dumps(known) + "\n")
    assert len(read_answers(store)) == 1
    for line in (
        json.dumps({**known, key: value}),
        json.dumps(list(known.values())),
        "[" * 100_000,
    ):
        store.write_text(f"{line}\n")
        with pytest.raises(RunError, match="damaged"):
            read_answers(store)
