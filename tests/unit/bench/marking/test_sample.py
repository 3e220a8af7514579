from __future__ import annotations

import secrets
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.marking.sample import (
    MODES,
    Pair,
    choose_questions,
    deal,
    names_its_model,
    shared_items,
)
from theobot.bench.questions import Question, read_questions

SECRET = b"s" * 32


def pairs(count: int, alike: int = 0) -> list[Pair]:
    return [Pair(f"i{n}", (f"b{n}", f"t{n}"), n < alike) for n in range(count)]


def test_the_default_sample_is_six_per_theme_and_twelve_of_each_other_set():
    chosen = choose_questions(read_questions(), None, seed=3)
    themes = Counter(q.meta["theme"] for q in chosen if q.set == "in_domain")
    assert themes == dict.fromkeys("ABCDEF", 6)
    assert Counter(q.set for q in chosen) == {
        "in_domain": 36, "near_domain": 12, "out_of_domain": 12
    }  # fmt: skip
    # Spread over question types and areas, never traps.
    assert len({q.meta["qtype"] for q in chosen if q.set == "in_domain"}) >= 8
    assert len({q.meta["area"] for q in chosen if q.set == "out_of_domain"}) >= 10


def test_the_sample_depends_on_the_seed_and_not_on_the_order_of_the_list():
    questions = read_questions()
    ids = {q.id for q in choose_questions(questions, 30, seed=1)}
    assert {q.id for q in choose_questions(questions[::-1], 30, seed=1)} == ids
    assert {q.id for q in choose_questions(questions, 30, seed=2)} != ids
    assert len(ids) == 30


def test_small_sets_give_what_they_have():
    few = [Question(f"q{n}", "in_domain", f"Question {n}?", 1, None, {}) for n in range(5)]
    assert choose_questions(few, None, seed=1) == few
    assert len(choose_questions(few, 3, seed=1)) == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 7, 12, 60])
def test_sides_are_balanced_in_every_block_of_four(mode, count):
    cards = [card for card in deal(pairs(count), SECRET, "anna", mode) if card.repeats is None]
    first = cards[:count]
    for start in range(0, count, 4):
        block = first[start : start + 4]
        left = sum(card.left.startswith("b") for card in block)
        assert abs(2 * left - len(block)) <= 1


def test_marking_shows_every_answer_once_and_the_two_of_a_question_far_apart():
    cards = [card for card in deal(pairs(60), SECRET, "anna", "mark") if card.repeats is None]
    assert sorted(card.left for card in cards) == sorted(a for p in pairs(60) for a in p.answers)
    places: dict[str, list[int]] = {}
    for place, card in enumerate(cards):
        assert card.right is None
        places.setdefault(card.item, []).append(place)
    assert min(second - first for first, second in places.values()) >= 50


def test_comparing_shows_each_question_once_with_both_answers():
    cards = [card for card in deal(pairs(60), SECRET, "anna", "prefer") if card.repeats is None]
    assert sorted(card.item for card in cards) == sorted(p.item for p in pairs(60))
    assert all({card.left[0], str(card.right)[0]} == {"b", "t"} for card in cards)


@pytest.mark.parametrize(("mode", "expected"), [("mark", 12), ("prefer", 6)])
def test_one_in_ten_comes_again_later_with_the_sides_swapped(mode, expected):
    cards = deal(pairs(60), SECRET, "anna", mode)
    by_id = {card.id: card for card in cards}
    again = [card for card in cards if card.repeats is not None]
    assert len(again) == expected
    assert len(by_id) == len(cards)
    assert [card.order for card in cards] == list(range(len(cards)))
    for card in again:
        first = by_id[str(card.repeats)]
        assert card.order - first.order > len(cards) / 5
        if mode == "prefer":
            assert (card.left, card.right) == (first.right, first.left)
        else:
            assert card.left == first.left


def test_answers_that_are_alike_are_not_shown():
    shown = {card.item for card in deal(pairs(10, alike=4), SECRET, "anna", "mark")}
    assert shown == {f"i{n}" for n in range(4, 10)}


def test_markers_and_secrets_give_other_orders_and_sides():
    orders = {
        tuple(card.left for card in deal(pairs(30), secret, marker, "prefer"))
        for secret in (SECRET, b"t" * 32)
        for marker in ("anna", "ben")
    }
    assert len(orders) == 4


@given(st.integers(0, 40), st.binary(min_size=32, max_size=32), st.sampled_from(MODES))
def test_dealing_never_loses_or_doubles_a_card(count, secret, mode):
    cards = deal(pairs(count), secret, "anna", mode)
    assert len({card.id for card in cards}) == len(cards)
    originals = [card for card in cards if card.repeats is None]
    assert len(originals) == count * (2 if mode == "mark" else 1)


def test_neither_arm_comes_first_more_often_in_the_long_run():
    left = 0
    for _ in range(400):
        cards = deal(pairs(3), secrets.token_bytes(32), "anna", "prefer")
        left += sum(card.left.startswith("b") for card in cards)
    # Odd blocks lean by chance: 1200 sides, four standard errors.
    assert abs(left - 600) < 4 * 17.4


def test_twelve_differing_questions_are_shared():
    questions = {
        f"i{n}": Question(f"q{n}", name, "?", 4, None, {})
        for n, name in enumerate(["in_domain"] * 20 + ["near_domain"] * 2 + ["out_of_domain"] * 9)
    }
    shared = shared_items(pairs(31, alike=3), questions, seed=1)
    assert len(set(shared)) == 12
    assert not {"i0", "i1", "i2"} & set(shared)
    assert {questions[item].set for item in shared} == {"in_domain", "near_domain", "out_of_domain"}
    assert len(shared_items(pairs(5), {f"i{n}": questions[f"i{n}"] for n in range(5)}, 1)) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I am Qwen, created by Alibaba Cloud.", True),
        ("As Qwen2.5, I think", True),
        ("I am TheoBot.", True),
        ("Aqwens are no word", False),
        ("Christians believe in forgiveness.", False),
    ],
)
def test_answers_that_say_who_wrote_them_are_found(text, expected):
    assert names_its_model(text) is expected
