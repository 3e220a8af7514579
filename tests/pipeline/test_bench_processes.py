"""Several processes share one benchmark, as `accelerate launch` starts them on several GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from theobot.bench.answers import BATCH_SIZE, plan_answers, read_answers
from theobot.bench.questions import read_questions

VERDICTS = {0, 3, 4}


@pytest.fixture(scope="module")
def question_folder(make_question_folder) -> Path:
    return make_question_folder(22, "? [1 mark]")  # a batch and a little


@pytest.fixture
def bench(tiny_base_folder: Path, tiny_adapter_folder: Path, question_folder: Path):
    """The words of a benchmark into a folder."""

    def words(output: Path) -> list[object]:
        model = ["--adapter", tiny_adapter_folder, "--model", tiny_base_folder, "--device", "cpu"]
        return ["bench", "--questions", question_folder, "--same-prompt", *model, "-o", output]

    return words


def test_two_processes_leave_the_files_of_one(bench, start, typed, two_ranks, tmp_path):
    assert typed(*bench(tmp_path / "alone")).code in VERDICTS
    expected = (tmp_path / "alone" / "answers.jsonl").read_bytes()

    # Two that go on after another two were broken off: one had a whole batch, one half a line.
    lines = expected.splitlines(keepends=True)
    batch = 2 * BATCH_SIZE
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "answers.part-0.jsonl").write_bytes(lines[0][:9])
    rows = [json.loads(line) | {"check": None} for line in lines[2 * batch :]]
    marked = [row | {"text": f"!{row['text']}"} for row in rows]
    (folder / "answers.part-1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in marked))
    processes = [start(*bench(folder), **told) for told in two_ranks()]
    first, second = (process.end() for process in processes)
    first.ended(0, "theobot bench report")
    second.ended(0)
    assert (folder / "answers.jsonl").read_bytes().startswith(b"".join(lines[: 2 * batch]))
    records = read_answers(folder / "answers.jsonl")
    assert [one.text for one in records[2 * batch :]] == [row["text"] for row in marked]
    assert len(records) == len(lines) == 2 * 66
    names = [{path.name for path in place.iterdir()} for place in (tmp_path / "alone", folder)]
    assert names[0] == names[1]


def test_a_share_is_planned_as_the_whole(question_folder: Path):
    """Which questions share a batch does not hang on how many processes there are."""
    from theobot.generation.scripted import ScriptedGenerator

    questions = read_questions(question_folder)
    batches = plan_answers(ScriptedGenerator({}), questions)
    assert [len(batch.questions) for batch in batches] == [BATCH_SIZE, 2]
