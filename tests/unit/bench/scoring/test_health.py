from __future__ import annotations

import json

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question
from theobot.bench.scoring.health import (
    content_words,
    measure_health,
    repeats_itself,
    word_overlap,
    words,
)


def record(identity: str, arm: str, text: str, stop: str) -> AnswerRecord:
    return AnswerRecord(
        identity, "in_domain", "?", arm, "seed", "0", 32, text, stop, 7, "nano", None, None, {}, "0"
    )


def test_words_keep_their_apostrophes_and_lose_their_marks():
    assert words("The Qur'an, God’s word: 5:32!") == ["the", "qur'an", "god’s", "word", "5", "32"]


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("one two three four five six seven", False),
        ("one two three four five six. One two three four five six", True),
        ("one two three four five. One two three four five", False),
        ("la " * 7, True),
        ("la " * 6, False),
        ("", False),
    ],
)
def test_six_words_again_are_a_repetition(text: str, repeats: bool):
    assert repeats_itself(text) is repeats


def test_overlap_is_f1_of_the_words_that_carry_content():
    assert content_words("God's love is for all, and LOVE remains.") == {"god", "love", "remains"}
    assert word_overlap(frozenset("abc"), frozenset("bcde")) == pytest.approx(2 * 2 / 7)
    assert word_overlap(frozenset(), frozenset()) == 0.0


def test_figures_of_a_small_set_are_those_counted_by_hand():
    questions = [
        Question("1", "in_domain", "?", 1, "peace justice", {}),
        Question("2", "in_domain", "?", 1, "mercy love", {}),
        Question("3", "in_domain", "?", 1, None, {}),
    ]
    records = [
        record("1", "theobot", "peace justice", "eos"),
        record("2", "theobot", "mercy war", "length"),
        record("3", "theobot", "la " * 8, "new_turn"),
        record("1", "base", "mercy", "eos"),
    ]
    base, tuned = measure_health(questions, records)
    assert (base.arm, tuned.arm) == ("base", "theobot")
    assert base.overlap is None
    assert base.overlap_gain is None
    assert tuned.answers == 3
    assert tuned.stopped == tuned.new_turn == tuned.repeats == pytest.approx(1 / 3)
    assert tuned.median_words == 2
    assert tuned.overlap == pytest.approx((1.0 + 0.5) / 2)
    assert tuned.overlap_elsewhere == 0.0
    assert tuned.overlap_gain is not None
    assert tuned.overlap_gain.n == 2
    assert tuned.overlap_gain.mean == pytest.approx(0.75)
    assert json.dumps([base.to_json(), tuned.to_json()])


def test_how_answers_ended_is_unknown_where_a_server_does_not_tell():
    questions = [Question(name, "in_domain", "?", 1, None, {}) for name in "12"]
    records = [record("1", "theobot", "peace", "stop"), record("2", "theobot", "war", "length")]
    (tuned,) = measure_health(questions, records)
    assert (tuned.stopped, tuned.new_turn) == (None, None)
    assert json.loads(json.dumps(tuned.to_json()))["stopped"] is None


def test_an_answer_counts_for_the_set_of_its_question_whatever_its_own_line_says():
    questions = [Question("1", "near_domain", "?", 1, "peace", {})]
    (figures,) = measure_health(questions, [record("1", "base", "peace", "eos")])
    assert figures.set == "near_domain"
