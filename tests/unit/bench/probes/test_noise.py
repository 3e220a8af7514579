from __future__ import annotations

import pytest

from theobot.bench.answers import answer_questions, plan_answers, read_answers
from theobot.bench.probes.noise import BATCH_SIZE, measure_noise
from theobot.bench.questions import Question
from theobot.generation.scripted import ScriptedGenerator

QUESTIONS = [
    Question(
        f"{name}-{n}", name, f"What is number {n} of {name}?", 1 + n % 4, None, {"theme": n % 3}
    )
    for name in ("in_domain", "near_domain", "out_of_domain")
    for n in range(12)
]


class Watched(ScriptedGenerator):
    """Notes what it is asked, and can say something else the second time."""

    def __init__(self, changed: frozenset[str] = frozenset()):
        super().__init__(lambda question, arm: f"{arm} {question}")
        self.asked: list[list[str]] = []
        self.caps: list[int] = []
        self.changed = changed

    def answer(self, conversations, arm, *, prompt_format=None, max_new_tokens):
        assert (arm, prompt_format) == ("base", "seed")
        self.asked.append([turns[-1].text for turns in conversations])
        self.caps += max_new_tokens
        answers = super().answer(conversations, arm, max_new_tokens=max_new_tokens)
        return [
            answer._replace(text="else") if turns[-1].text in self.changed else answer
            for turns, answer in zip(conversations, answers, strict=True)
        ]


@pytest.fixture
def records(tmp_path):
    generator = ScriptedGenerator(lambda question, arm: f"{arm} {question}")
    store = tmp_path / "answers.jsonl"
    list(answer_questions(generator, plan_answers(generator, QUESTIONS), store))
    return read_answers(store)


def test_the_base_is_asked_again_in_other_batches(records):
    generator = Watched()
    found = measure_noise(generator, QUESTIONS, records, "seed", 20)
    assert found == {"questions": 20, "changed": [], "changed_share": 0.0}
    [asked] = generator.asked
    assert len(set(asked)) == 20
    sets = [next(q.set for q in QUESTIONS if q.text == text) for text in asked]
    assert sorted(sets.count(name) for name in set(sets)) == [6, 7, 7]
    order = [q.text for q in QUESTIONS if q.text in asked]
    assert asked == order[::-1]
    by_text = {r.question: r.max_new_tokens for r in records}
    assert generator.caps == [by_text[text] for text in asked]


def test_changed_answers_are_counted_and_named(records):
    first = Watched()
    measure_noise(first, QUESTIONS, records, "seed", 20)
    some = frozenset(first.asked[0][::8])
    found = measure_noise(Watched(some), QUESTIONS, records, "seed", 20)
    assert found is not None
    assert len(found["changed"]) == len(some) == 3
    assert found["changed_share"] == pytest.approx(3 / 20)
    assert found["changed"] == sorted(q.id for q in QUESTIONS if q.text in some)


@pytest.mark.parametrize("count", [0, 1, 5, 99])
def test_any_count(records, count: int):
    found = measure_noise(Watched(), QUESTIONS, records, "seed", count)
    assert (found["questions"] if found else 0) == min(count, len(QUESTIONS))


def test_many_are_asked_again_in_smaller_batches_than_the_first_time(records):
    generator = Watched()
    measure_noise(generator, QUESTIONS, records, "seed", BATCH_SIZE + 5)
    assert [len(batch) for batch in generator.asked] == [BATCH_SIZE, 5]


def test_questions_that_were_not_answered_are_not_asked_again(records):
    few = [one for one in records if one.set == "near_domain"][:6]
    found = measure_noise(Watched(), QUESTIONS, few, "seed", 20)
    assert found is not None
    assert found["questions"] == len({one.id for one in few if one.arm == "base"})
    assert measure_noise(Watched(), QUESTIONS, [], "seed", 20) is None


def test_greedy_answers_in_float32_do_not_change(tiny_generator, tmp_path):
    questions = [q._replace(marks=1) for q in QUESTIONS[:9]]
    store = tmp_path / "answers.jsonl"
    list(answer_questions(tiny_generator, plan_answers(tiny_generator, questions), store))
    found = measure_noise(
        tiny_generator, questions, read_answers(store), tiny_generator.formats["base"], 9
    )
    assert found == {"questions": 9, "changed": [], "changed_share": 0.0}
