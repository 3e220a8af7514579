"""The benchmark as one call: questions -> answers of both arms -> files a person can compare."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from theobot.bench.answer_files import write_answer_files, write_side_by_side
from theobot.bench.answers import (
    BATCH_SIZE,
    AnswerRecord,
    Progress,
    answer_questions,
    plan_answers,
    read_answers,
)
from theobot.bench.health import Health, measure_health
from theobot.bench.questions import Question, read_questions
from theobot.data.prompt import Turn
from theobot.errors import AdapterError, InvalidRunError
from theobot.generation.generator import Generator
from theobot.run_folder import explain_write_errors, write_json, write_text

ANSWERS = "answers.jsonl"
QUESTIONS = "questions.jsonl"
HEALTH = "health.json"

_EFFECT_PROMPTS = 8


class BenchResult(NamedTuple):
    """What a benchmark left behind.

    `files` are the six answer files; `side_by_side` the page to open first.
    """

    folder: Path
    questions: list[Question]
    records: list[AnswerRecord]
    files: list[Path]
    side_by_side: Path
    health: list[Health]


def run_bench(
    generator: Generator,
    folder: Path,
    *,
    questions: Path | None = None,
    limit: int | None = None,
    same_prompt: bool = False,
    batch_size: int = BATCH_SIZE,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> BenchResult:
    """Answer every question with both arms, or go on where an earlier call was cut off.

    Args:
        generator: with both arms.
        folder: for the answers and files; made when missing.
        questions: folder of question files; by default the shipped ones.
        limit: most questions per set.
        same_prompt: the seed's raw prompt for both arms, instead of each its own format.
        batch_size: rows answered at once.
        on_progress: told of each batch.

    Raises:
        InvalidRunError: the adapter changes nothing, so that there is nothing to compare.
        TheobotError: questions, adapter or folder cannot be used.
    """
    chosen = read_questions(questions, limit)
    check_adapter(generator, chosen)
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    batches = plan_answers(generator, chosen, same_prompt=same_prompt, batch_size=batch_size)
    store = folder / ANSWERS
    for progress in answer_questions(generator, batches, store):
        on_progress(progress)
    records = read_answers(store)
    _refuse_equal_answers(records)
    _write_questions(folder / QUESTIONS, chosen)
    files = write_answer_files(folder, chosen, records)
    page = write_side_by_side(folder, chosen, records)
    health = measure_health(chosen, records)
    write_json(folder / HEALTH, [figures.to_json() for figures in health])
    return BenchResult(folder, chosen, records, files, page, health)


def check_adapter(generator: Generator, questions: Sequence[Question]) -> None:
    """Refuse a missing or silent adapter before hours are spent on it.

    Raises:
        AdapterError: there is no adapter.
        InvalidRunError: it changes no next-token logit of the first questions.
    """
    if "theobot" not in generator.arms:
        raise AdapterError(
            "The benchmark compares an adapter with its base, but no adapter was loaded. Type "
            "--run DIR or --adapter DIR."
        )
    prompts = [[Turn("user", question.text)] for question in questions[:_EFFECT_PROMPTS]]
    if generator.adapter_effect(prompts) == 0.0:
        raise InvalidRunError(
            f"The adapter changes nothing: on {len(prompts)} prompts all logits are those of the "
            "base. It was saved before it was trained (lora_B is zero), or belongs elsewhere; "
            "comparing it would mean nothing."
        )


def _refuse_equal_answers(records: Sequence[AnswerRecord]) -> None:
    texts: dict[str, set[str]] = {}
    for record in records:
        texts.setdefault(record.id, set()).add(record.text)
    if texts and all(len(found) == 1 for found in texts.values()):
        raise InvalidRunError(
            f"All {len(texts)} answers of base and Theobot are the same, letter for letter: the "
            "adapter has no effect that could be judged. Check that it was trained to its end."
        )


def _write_questions(path: Path, questions: Sequence[Question]) -> None:
    lines = [json.dumps(question._asdict(), ensure_ascii=False) for question in questions]
    write_text(path, "".join(f"{line}\n" for line in lines))
