import random
import statistics

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.probes.choices import ChoiceRecord
from theobot.bench.questions import Question, read_questions
from theobot.bench.scoring.scores import (
    chrf,
    count_citations,
    full_marks,
    score_answers,
    score_points,
)


def question(text: str = "Why?", marks: int | None = 4, **meta: object) -> Question:
    return Question("q", "in_domain", text, marks, "A reference.", meta)


def record(text: str, question: Question, arm: str = "base") -> AnswerRecord:
    return AnswerRecord(
        question.id, question.set, question.text, arm, "seed", "x", 9, text, "eos", 9, "nano",
        None, None, {}, "p",
    )  # fmt: skip


def value(text: str, asked: Question, **choices: object) -> float:
    (score,) = score_answers([asked], [record(text, asked)], **choices)
    return score.value


def test_every_shipped_reference_earns_full_marks_and_others_few():
    questions = read_questions()
    scores = score_answers(questions, [record(q.reference, q) for q in questions])
    assert [score.id for score in scores if score.value < 1] == []
    assert len(scores) == len(questions) == 386
    choose = random.Random(1)
    opened = [q for q, score in zip(questions, scores, strict=True) if score.metric == "key_points"]
    mismatched = [
        value(choose.choice([o for o in opened if o is not q and o.set == q.set]).reference, q)
        for q in opened
    ]
    assert statistics.mean(mismatched) < 0.1


def test_without_a_tariff_all_key_points_are_full_marks():
    points = [{"text": f"The {word}", "marks": 2, "accept": [word]} for word in ("get", "siddur")]
    asked = question(marks=None, key_points=points)
    (score,) = score_answers([asked], [record("A get.", asked)])
    assert (score.value, score.marks) == (0.5, 4)
    assert value("A get and a siddur.", asked) == 1
    assert full_marks(question(marks=None)) == 1
    assert full_marks(question(marks=3, key_points=points)) == 3


POINTS = [
    {"text": "Love of neighbour", "marks": 1, "accept": ["agape", "love for others"]},
    {"text": "A source", "marks": 2, "accept": ["Matthew 5:38-42"]},
    {"text": "It is not forced", "marks": 1, "accept": ["no compulsion"]},
]


@pytest.mark.parametrize(
    ("answer", "marks"),
    [
        ("Agape.", 1),
        ("Christians show love for other people and loved others.", 1),
        ("See Mt 5:39.", 2),
        ("See Matthew 5:12.", 0),
        ("There is no compulsion.", 1),
        ("There is compulsion.", 0),
        ("This is not agape.", 0),
        ("Agape, Matthew 5:40, no compulsion.", 4),
        ("", 0),
    ],
)
def test_key_points_are_found_in_their_forms_and_not_where_they_are_denied(answer, marks):
    assert value(answer, question(key_points=POINTS)) == pytest.approx(marks / 4)


def test_repeating_the_question_earns_nothing():
    asked = question("Explain agape and love of neighbour. [4 marks]", key_points=POINTS)
    assert value("Agape and love of neighbour.", asked) == 0


def test_marks_are_never_more_than_the_tariff_and_hits_are_told():
    asked = question(marks=2, key_points=POINTS)
    (score,) = score_answers([asked], [record("Agape, see Mt 5:39.", asked)])
    assert score.value == 1.0
    assert [(hit.hit, hit.found) for hit in score.points][:2] == [
        (True, "Agape"),
        (True, "Mt 5:39"),
    ]
    assert score_points(question(), "anything") == ()


MCQ = "Which is it? A) Get B) Siddur C) Shema D) Mezuzah"


def test_multiple_choice_is_by_likelihood_where_it_was_measured():
    asked = question(MCQ, 1, expected="B")
    assert value("A) Get", asked) == 0
    choice = ChoiceRecord("q", "base", "B", {"A": 0.1, "B": 0.9})
    assert value("A) Get", asked, choices=[choice]) == 1
    assert value("The answer is B.", asked) == 1


def test_checked_answers_and_questions_without_any_scheme():
    assert value("It is 54.40 pounds.", question(check={"kind": "number", "value": 54.4})) == 1
    assert value("oxygen", question(check={"kind": "word", "value": ["oxygen"]})) == 1
    asked = question()
    assert score_answers([asked], [record("anything", asked)]) == []


def test_code_is_never_run_but_scored_by_its_points():
    asked = question(check={"kind": "python", "value": {}}, key_points=POINTS)
    assert value("agape", asked) == 0.25


def test_citations_are_counted():
    asked = question()
    text = 'Matthew 5:38-42, Genesis 60:5 and "Money is the root of all evil" (1 Timothy 6:10).'
    (count,) = count_citations([record(text, asked)])
    assert (count.cited, count.missing) == (3, 1)
    (other,) = count_citations([record("None.", asked)])
    assert (other.cited, other.missing) == (0, 0)


def test_chrf_is_that_of_sacrebleu():
    assert chrf("the same", "the same") == pytest.approx(1.0)
    assert chrf("zzz", "the same") == pytest.approx(0.0)
