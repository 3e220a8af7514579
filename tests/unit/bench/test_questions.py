from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from theobot.bench.questions import SETS, Question, normalise, read_questions, spread
from theobot.errors import DataError


def problems(folder: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        read_questions(folder)
    return [p.replace(str(folder) + "/", "") for p in caught.value.problems]


def test_ids_marks_and_references_come_from_the_sidecar_by_text(question_folder: Path):
    questions = read_questions(question_folder)
    assert [q.set for q in questions] == ["in_domain"] * 3 + ["near_domain"] * 2 + [
        "out_of_domain"
    ] * 2
    assert questions[0][:5] == ("in-1", "in_domain", "What is sin?", 1, "Turning away from God.")
    assert questions[1].id == "in-2"
    assert questions[1].text == "Explain forgiveness."
    assert questions[1].meta == {"theme": "B", "qtype": "explain_4_similar"}


def test_a_question_without_an_entry_gets_an_id_from_its_text(question_folder: Path):
    question = read_questions(question_folder)[2]
    digest = hashlib.sha256(b"evaluate pacifism.").hexdigest()
    assert question == Question(
        f"in_domain-{digest[:10]}", "in_domain", "Evaluate pacifism.", None, None, {}
    )


def test_bom_carriage_returns_blank_lines_and_comments_do_not_count(question_folder: Path):
    file = question_folder / "near_domain_questions.txt"
    before = read_questions(question_folder)
    file.write_bytes(
        b"\xef\xbb\xbf# Near\r\n\r\nWhat is karma?\r\n  # note\r\n Who was Buddha? \r\n"
    )
    assert read_questions(question_folder) == before


def test_all_problems_are_told_at_once(question_folder: Path):
    (question_folder / "near_domain_questions.txt").write_text("# only a comment\n")
    (question_folder / "out_of_domain_questions.txt").unlink()
    with (question_folder / "in_domain_questions.txt").open("ab") as file:
        file.write(b"what IS  sin?\nWhat is caf\xe9?\n")
    with (question_folder / "references.jsonl").open("a") as file:
        file.write('{"id": "x", "set": "in_domain", "question": "Nowhere?"}\n')
        file.write('{"id": "in-1", "set": "near_domain", "question": "Evaluate pacifism."}\n')
        file.write('{"id": "y", "set": "in_domain", "question": "What is sin?", "marks": "1"}\n')
        file.write('{"id": "z", "set": "in_domain", "question": "Explain forgiveness."}\n')
        file.write('{"id": 3, "set": "in_domain"}\nnot json\n[1]\n')
        file.write(
            '{"id": "in-1", "set": "in_domain", "question": "Evaluate pacifism.", "reference": 5}\n'
        )
        file.write('{"id": "in-1", "set": "in_domain", "question": "Evaluate pacifism."}\n')
    found = problems(question_folder)
    expected = [
        ("in_domain_questions.txt:5: not UTF-8 (byte 12)"),
        ("near_domain_questions.txt: holds no questions"),
        ("out_of_domain_questions.txt: no such file"),
        ("in_domain_questions.txt:4: the same question as in"),
        ("references.jsonl:3: its question stands in none"),
        ("references.jsonl:4: set is 'near_domain'"),
        ("references.jsonl:5: marks is '1'"),
        ("references.jsonl:6: this question has an entry already"),
        ("references.jsonl:7: id is 3"),
        ("references.jsonl:7: question is None"),
        ("references.jsonl:8: not valid JSON"),
        ("references.jsonl:9: an object"),
        ("references.jsonl:10: reference is 5"),
        ('references.jsonl:11: id "in-1" is taken by'),
    ]
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start)


def test_a_tariff_that_no_page_can_show_is_refused(question_folder: Path):
    path = question_folder / "references.jsonl"
    path.write_text(path.read_text().replace('"marks": 4', '"marks": 1000000'))
    [problem] = problems(question_folder)
    assert problem.endswith("marks is too large; a whole number from 1 to 1000 was expected.")


def test_the_same_question_in_two_sets_is_a_problem(question_folder: Path):
    with (question_folder / "out_of_domain_questions.txt").open("a") as file:
        file.write("What is sin?\n")
    [problem] = problems(question_folder)
    assert "in_domain_questions.txt:1" in problem


def test_a_limit_spreads_over_sets_themes_and_types():
    questions = [
        Question(f"{s}-{n}", s, f"{s} {n}", None, None, {"theme": "AB"[n // 6], "qtype": n % 3})
        for s in SETS
        for n in range(12)
    ]
    chosen = spread(questions, 6)
    assert [q for q in questions if q in chosen] == chosen
    for name in SETS:
        of_set = [q for q in chosen if q.set == name]
        assert sorted(q.meta["theme"] for q in of_set) == list("AAABBB")
        assert sorted(q.meta["qtype"] for q in of_set) == [0, 0, 1, 1, 2, 2]
    assert set(q.id for q in spread(questions, 2)) < set(q.id for q in chosen)
    assert {q.meta["qtype"] for q in spread(questions, 2)} == {0, 1}
    assert spread(questions, 99) == questions


def test_the_shipped_sets_are_sound_and_all_have_references():
    questions = read_questions()
    assert len(questions) >= 48
    assert all(q.reference and q.marks for q in questions)
    assert len(read_questions(limit=2)) == 8  # traps included
    assert json.dumps([q._asdict() for q in questions])


def test_texts_are_compared_without_capitals_and_spaces():
    assert normalise(" What\t is  SIN? ") == "what is sin?"
