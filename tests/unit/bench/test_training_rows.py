from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from theobot.bench.questions import Question, read_questions
from theobot.bench.training_rows import (
    TrainingRows,
    check_leaks,
    refuse_leaks,
    training_rows,
    verse_was_seen,
)
from theobot.data.dataset import fingerprint, shipped_training_data, stratified
from theobot.data.examples import Example, read_examples
from theobot.errors import InvalidRunError
from theobot.run_folder import RunFolder


def row(question: str, answer: str) -> Example:
    return Example(f"User: {question}\nAssistant:", answer, {}, "rows.jsonl:1")


def lay_down(folder: Path, data: str, rows: Sequence[Example]) -> Path:
    """As much of a run as says what it was trained on."""
    run = RunFolder(folder)
    run.path.mkdir()
    run.config.write_text(json.dumps({"data": data}))
    summary = {"rows": len(rows), "fingerprint": fingerprint(rows)}
    run.dataset.write_text(json.dumps({"train": summary}))
    return folder


@pytest.fixture(scope="module")
def shipped() -> list[Example]:
    return read_examples(shipped_training_data())


def test_rows_are_found_and_compared_with_those_that_were_trained_on(tmp_path, shipped):
    file = tmp_path / "mine.jsonl"
    shutil.copy(shipped_training_data(), file)
    run = lay_down(tmp_path / "first", str(file), shipped)
    found = training_rows(run).rows
    assert found is not None
    assert fingerprint(found) == fingerprint(shipped)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-1]))
    assert training_rows(run) == (
        None, "mine.jsonl holds other rows now than when first was trained.",
    )  # fmt: skip
    file.unlink()
    rows, why = training_rows(run)
    assert rows is None
    assert why.startswith("The rows that first was trained on (mine.jsonl) cannot be read now.")
    assert str(tmp_path) not in why


def test_the_rows_of_the_demo_are_the_part_that_it_trained_on(tmp_path, shipped):
    part = stratified(shipped, 22)
    run = lay_down(tmp_path / "demo", str(shipped_training_data()), part)
    assert training_rows(run).rows == part


def test_shipped_rows_are_found_in_another_installation(tmp_path, shipped):
    there = f"/elsewhere/theobot/curriculum/{shipped_training_data().name}"
    assert training_rows(lay_down(tmp_path / "run", there, shipped)).rows == shipped


def test_a_folder_that_is_no_run_or_a_damaged_one_has_no_rows(tmp_path, shipped):
    unknown = TrainingRows(None, "Which rows the adapter was trained on is not known.")
    assert training_rows(None) == training_rows(tmp_path) == unknown
    run = lay_down(tmp_path / "run", "none.jsonl", shipped)
    for damaged in ("{", "[]", '{"train": {}}', '{"train": {"rows": "many", "fingerprint": ""}}'):
        (run / "dataset.json").write_text(damaged)
        assert training_rows(run).why_not == "The files of run do not say what it learned from."


def test_the_other_adapters_rows_are_looked_through_too(question_folder: Path):
    questions = read_questions(question_folder)
    given_away = [row("What is sin?", "Turning away from God.")]
    with pytest.raises(InvalidRunError, match="rows of the other adapter give away 1 of"):
        refuse_leaks(given_away, questions, " of the other adapter")
    with pytest.raises(InvalidRunError, match="rows of the other adapter give away 1 of"):
        check_leaks(TrainingRows([]), TrainingRows(given_away), questions)


def test_a_check_that_lacks_rows_says_why(question_folder: Path):
    questions = read_questions(question_folder)
    mine, lost = TrainingRows([row("Who wrote it?", "Nobody.")]), TrainingRows(None, "Lost.")
    assert check_leaks(mine, None, questions).as_json() == {"leaks": [], "seen_verses": []}
    assert check_leaks(lost, None, questions).as_json() == {"leaks_not_checked": "Lost."}
    assert check_leaks(mine, lost, questions).as_json() == {
        "leaks_not_checked": "Lost.", "seen_verses": [],
    }  # fmt: skip


def test_a_verse_is_seen_by_what_the_run_learned_from_whatever_the_questions_say():
    def asked(name: str, text: str) -> Question:
        return Question(name, "in_domain", text, 4, None, {"seen_ref": True})

    questions = [
        asked("a", "Explain what Micah 4:3 teaches about peace."),
        asked("b", "Explain what Matthew 5:9 teaches about peace."),
        asked("c", "Explain what sewa is."),
    ]
    trained = TrainingRows([row("What do some hope for?", "No more war (Micah 4:1-4).")])
    of_another = TrainingRows([row("What does Matthew 5:9 say?", "That peacemakers are blessed.")])
    probes = check_leaks(trained, of_another, questions).as_json()
    assert [verse_was_seen(probes, one) for one in questions] == [True, False, None]
    assert [verse_was_seen({}, one) for one in questions] == [None] * 3
