"""What is said of a question is usable, or told."""

from __future__ import annotations

import json

import pytest

from theobot.bench.question_meta import marks_problem, meta_problems
from theobot.bench.questions import SIDECAR, parse_saved_questions, shipped_questions


def test_the_shipped_mark_schemes_are_sound():
    for line in (shipped_questions() / SIDECAR).read_text(encoding="utf-8").splitlines():
        assert meta_problems(json.loads(line)) == []


@pytest.mark.parametrize(
    ("meta", "place"),
    [
        ({"key_points": 5}, "key_points"),
        ({"key_points": [{"text": "x"}]}, "key_points.0.marks"),
        ({"key_points": [{"text": "x", "marks": 1.5}]}, "key_points.0.marks"),
        ({"key_points": [{"text": "x", "marks": 1, "accept": [1]}]}, "key_points.0.accept.0"),
        ({"expected": ["A"]}, "expected"),
        ({"religions": "Islam"}, "religions"),
        ({"check": {"kind": "regex", "value": "("}}, "check.value"),
    ],
)
def test_what_cannot_be_used_is_told(meta, place):
    (problem,) = meta_problems(meta)
    assert problem.startswith(place)


@pytest.mark.parametrize("marks", [0, -1, 1001, 10**400, 1.0, "1", True])
def test_a_tariff_is_a_number_that_a_page_of_marks_can_hold(marks):
    assert "from 1 to 1000 was expected" in marks_problem(marks)
    assert {marks_problem(good) for good in (None, 1, 1000)} == {None}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 5}', "line 2: id"),
        ("[" * 100_000, "line 2: "),
        (
            '{"id": "a", "set": "s", "text": "t", "marks": -1, "reference": null, "meta": {}}',
            "marks",
        ),
        (
            '{"id": "a", "set": "s", "text": "t", "marks": 1%s, "reference": null, "meta": {}}'
            % ("0" * 400),
            "line 2: marks is too large; a whole number from 1 to 1000",
        ),
    ],
)
def test_saved_questions_are_read_strictly(line, reason):
    with pytest.raises(ValueError, match=reason):
        parse_saved_questions(f"\n{line}\n")
