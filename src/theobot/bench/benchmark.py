"""The benchmark as one call: plan -> leaks -> answers of both arms -> probes -> verdict -> report.

Each stage leaves a file, so that a run that was cut off goes on, and that `rejudge` can do the last
stages again without a model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from theobot.bench import saved
from theobot.bench.adapter_card import tell_adapter_card
from theobot.bench.answer_files import write_answer_files, write_side_by_side
from theobot.bench.answers import (
    ANSWERS,
    BATCH_SIZE,
    AnswerRecord,
    Batch,
    Progress,
    answer_questions,
    answer_share,
    open_store,
    plan_answers,
    read_answers,
    rival_of_records,
)
from theobot.bench.plan import (
    PLAN,
    BenchPlan,
    answers_seen,
    fix_plan,
    hash_questions,
    overruled,
    settle_plan,
    write_plan,
)
from theobot.bench.probes.choices import CHOICES, score_choices, write_choices
from theobot.bench.probes.drift import measure_drift
from theobot.bench.probes.noise import measure_noise
from theobot.bench.questions import Question, read_questions, spread
from theobot.bench.report.files import write_report
from theobot.bench.report.model import Report
from theobot.bench.results import judge
from theobot.bench.rival import BASE, WITHOUT_VERSES, Rival, rival_of
from theobot.bench.scoring.health import Health, measure_health
from theobot.bench.training_rows import LeakCheck, check_leaks, training_rows
from theobot.config import PromptFormat
from theobot.data.dataset import fingerprint
from theobot.data.prompt import Turn
from theobot.errors import (
    AdapterError,
    DataError,
    InvalidRunError,
    ServerError,
)
from theobot.generation.generator import Arm, Generator
from theobot.generation.local import LocalGenerator
from theobot.model import ranks
from theobot.run_folder import (
    explain_write_errors,
    held,
    write_json,
    write_text,
)
from theobot.scripture.grounding import ground

HEALTH = "health.json"

_EFFECT_PROMPTS = 8


class BenchResult(NamedTuple):
    """What a benchmark left behind.

    `files` are the answer files; `side_by_side` all answers on one page; `reports` the report as
    HTML, Markdown and JSON.
    """

    folder: Path
    questions: list[Question]
    records: list[AnswerRecord]
    files: list[Path]
    side_by_side: Path
    health: list[Health]
    report: Report
    reports: list[Path]


def run_bench(
    generator: Generator,
    folder: Path,
    *,
    questions: Path | None = None,
    limit: int | None = None,
    same_prompt: bool = False,
    batch_size: int = BATCH_SIZE,
    run: Path | None = None,
    against_run: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> BenchResult | None:
    """Answer every question with both arms, or go on where an earlier call was cut off; judge.

    Started by a launcher as several processes, each answers a share of the questions, and the
    first one judges; `model.ranks.joined` must surround the call.

    Args:
        generator: with both arms.
        folder: for the answers and files; made when missing. A plan.json there is obeyed.
        questions: folder of question files; by default the shipped ones.
        limit: most questions per set.
        same_prompt: the seed's raw prompt for both arms, instead of each its own format.
        batch_size: questions answered at once.
        run: run folder of the adapter, which tells what it was trained on; None if unknown.
        against_run: the same of another adapter that it is compared with.
        on_progress: told of each batch.
        on_note: told in a sentence what else is being done.

    Returns:
        What it left behind; None in all but the first of several processes.

    Raises:
        InvalidRunError: a leak, an adapter without effect, or too many missing answers.
        TheobotError: questions, adapter or folder cannot be used.
    """
    ready: _Ready | None = None
    with ExitStack() as holds:
        with ranks.together():
            if ranks.is_first():
                asked = _Asked(questions, limit, same_prompt, batch_size, (run, against_run))
                ready = _prepare(generator, folder, asked, holds, on_note)
        ready = ranks.from_first(ready)
        assert ready is not None, "the first process has one, or all have raised its error"
        if ranks.world_size() > 1:
            for progress in answer_share(generator, ready.batches, ready.store):
                on_progress(progress)
        if not ranks.is_first():
            return None
        for text in overruled(folder / PLAN, ready.plan, limit, same_prompt):
            on_note(text)
        with _explain_what_is_kept(ready.store):
            for progress in answer_questions(generator, ready.batches, ready.store):
                on_progress(progress)
        _write_probes(generator, folder, ready, on_note)
        return rejudge(folder)


def _write_probes(
    generator: Generator,
    folder: Path,
    ready: _Ready,
    on_note: Callable[[str], None],
) -> None:
    """Measure and keep what a report says beside the answers, unless an earlier call has."""
    records = read_answers(ready.store)
    saved.refuse_equal_answers(records)
    path, leaks = folder / saved.PROBES, ready.leaks.as_json()
    before = saved.read_object(path)
    if before.get("answers") == records[0].plan:
        if "leaks" in leaks and "leaks" not in before:
            before.pop("leaks_not_checked", None)
            write_json(path, before | leaks)
        return
    with explain_write_errors(path):
        # What stands there is of other answers, and so are the choices from now on.
        path.unlink(missing_ok=True)
    probes = {
        "answers": records[0].plan,
        "adapter_effect": ready.effect,
        **leaks,
        **_probe(generator, folder, ready.plan, ready.questions, records, on_note),
    }
    kept = {key: value for key, value in probes.items() if value is not None}
    write_json(path, kept | {"plan_changes": ready.changes})


class _Ready(NamedTuple):
    """What is settled before the first answer."""

    plan: BenchPlan
    changes: list[str]
    questions: list[Question]
    leaks: LeakCheck
    effect: float | None
    batches: list[Batch]
    store: Path


class _Asked(NamedTuple):
    """What the caller asks for, see `run_bench`; `runs` are those of the adapter and the other."""

    questions: Path | None
    limit: int | None
    same_prompt: bool
    batch_size: int
    runs: tuple[Path | None, Path | None]


def _prepare(
    generator: Generator,
    folder: Path,
    asked: _Asked,
    holds: ExitStack,
    on_note: Callable[[str], None],
) -> _Ready:
    """Plan, leaks, the adapter's effect, and the store, in a folder that is now ours."""
    questions = asked.questions
    trained, also = (training_rows(run) for run in asked.runs)
    about = generator.describe()
    rival = rival_of(about)
    facts = {
        "questions": hash_questions(questions),
        "data": None if trained.rows is None else fingerprint(trained.rows),
        "base": about["model"],
        "adapter": about["adapter_sha256"],
        "against": about["against_sha256"] or rival.name,
    }
    plan, changes = settle_plan(folder, facts, questions, asked.limit, asked.same_prompt)
    chosen = _questions_for(rival, questions, plan.limit)
    leaks = check_leaks(trained, also if about["against_sha256"] else None, chosen)
    if leaks.why_not:
        on_note(f"Leaks: not checked. {leaks.why_not}")
    effect = check_adapter(generator, chosen, rival)
    batches = plan_answers(
        generator, chosen, same_prompt=plan.same_prompt, batch_size=asked.batch_size
    )
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    holds.enter_context(held(folder))
    write_plan(plan, folder / PLAN)
    seen = answers_seen(folder)
    open_store(folder, batches, on_note)
    lines = [json.dumps(question._asdict(), ensure_ascii=False) for question in chosen]
    write_text(folder / saved.QUESTIONS, "".join(f"{line}\n" for line in lines))
    fix_plan(folder, plan, seen)
    return _Ready(plan, changes, chosen, leaks, effect, batches, folder / ANSWERS)


def _questions_for(rival: Rival, folder: Path | None, limit: int | None) -> list[Question]:
    """The questions to ask; what verses are worth is asked of those alone that name some."""
    if rival != WITHOUT_VERSES:
        return read_questions(folder, limit)
    naming = [question for question in read_questions(folder) if ground(question.text).given]
    if not naming:
        raise DataError("No question names a Bible verse whose words could be given.")
    return naming if limit is None else spread(naming, limit)


def rejudge(folder: Path) -> BenchResult:
    """Write everything that follows from saved answers, without a model.

    Raises:
        InvalidRunError: too many answers are missing, or all of both arms are the same.
        TheobotError: a file is missing or damaged.
    """
    answered = saved.read_answered(folder)
    saved.refuse_incomplete(answered)
    saved.refuse_equal_answers(answered.records.values())
    report = judge(folder, answered)
    records = list(answered.records.values())
    health = measure_health(answered.questions, records)
    write_json(folder / HEALTH, [figures.to_json() for figures in health])
    tell_adapter_card(folder, records[0], report)
    return BenchResult(
        folder,
        answered.questions,
        records,
        write_answer_files(folder, answered.questions, records),
        write_side_by_side(folder, answered.questions, records),
        health,
        report,
        write_report(folder, report),
    )


def check_adapter(
    generator: Generator, questions: Sequence[Question], rival: Rival = BASE
) -> float | None:
    """Refuse a missing or silent adapter before hours are spent on it.

    Args:
        generator: who is to answer.
        questions: the first of them are tried.
        rival: what Theobot is compared with.

    Returns:
        The largest change of a next-token logit; None where that cannot be known.

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
    effect = generator.adapter_effect(prompts)
    if effect == 0.0:
        raise InvalidRunError(
            f"The adapter changes nothing: on {len(prompts)} prompts all logits are those of "
            f"{rival.name}. It was saved before it was trained (lora_B is zero), belongs "
            "elsewhere, or is the same; comparing it would mean nothing."
        )
    return effect


@contextmanager
def _explain_what_is_kept(store: Path) -> Iterator[None]:
    """Add to a server's failure what a person has to know about the answers so far."""
    try:
        yield
    except ServerError as error:
        if not store.exists():
            raise
        kept = f"The answers so far are kept in {store}; type the same command again to go on."
        raise ServerError([*error.problems, kept], error.status) from None


def _probe(
    generator: Generator,
    folder: Path,
    plan: BenchPlan,
    questions: Sequence[Question],
    records: Sequence[AnswerRecord],
    on_note: Callable[[str], None],
) -> dict[str, Any]:
    """What only a model at hand can tell besides the answers: choices, drift, noise.

    A server gives no likelihoods; there multiple choice is read from the answers.
    """
    formats: dict[Arm, PromptFormat] = {
        arm: "seed" if plan.same_prompt else generator.formats[arm] for arm in generator.arms
    }
    asked = rival_of_records(records).name
    on_note(f"Asking {asked} some questions again, to see what chance alone changes.")
    with _explain_what_is_kept(folder / ANSWERS):
        noise = measure_noise(generator, questions, records, formats["base"], plan.noise_questions)
    if not isinstance(generator, LocalGenerator):
        return {"noise": noise}
    on_note("Multiple choice by likelihood, and how far the adapter moves the model elsewhere.")
    write_choices(score_choices(generator, questions, formats), folder / CHOICES)
    elsewhere = [record for record in records if record.set == "out_of_domain"]
    return {"noise": noise, "drift": measure_drift(generator, elsewhere)}
