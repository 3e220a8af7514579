"""Did the fine-tune damage something? Tasks of lm-eval with the adapter off and on, in pairs.

Each document is a pair: what the base scored on it and what Theobot did. Right-or-wrong scores are
judged by Newcombe's interval and McNemar's test, others by the t interval and sign flips, and the
claims over all tasks by Holm. Only `run_regress` needs torch and lm-eval.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from theobot import __version__
from theobot.bench.comparison import Comparison, Decision, Verdict, compare, verdict_of
from theobot.bench.report.model import plain
from theobot.bench.statistics import Interval, holm
from theobot.config import PromptFormat
from theobot.errors import DataError, SettingsError
from theobot.generation.generator import ARMS, Arm
from theobot.run_folder import explain_write_errors, write_json, write_text

if TYPE_CHECKING:
    from theobot.generation.local import LocalGenerator

RESULT = "regress.json"
SAMPLES = "regress_samples.jsonl"

MARGIN = 0.05
"""The largest loss that is taken for harmless, as a share of the documents."""
MISSING_LIMIT = 0.02
"""Share of documents without both scores above which no verdict is given."""
SEED = 20_260_101
"""Of worked examples and sign flips."""

_ALPHA = 0.05
_CLAIMS = (Verdict.BETTER, Verdict.WORSE, Verdict.SLIGHTLY_WORSE)
_CELLS = ((1, 1), (1, 0), (0, 1), (0, 0))


class Sample(NamedTuple):
    """What one arm made of one document.

    Args:
        task: name of the task.
        arm: who.
        doc_id: place of the document in the task.
        content: hashes of the document and of what is right.
        prompt: hash of the prompt.
        filter: what lm-eval did with the answer before it scored it; "none" for nothing.
        scores: by metric; None where there is no number for a single document.
        answers: log-likelihood of each option and whether it is the greedy answer, or the text.
    """

    task: str
    arm: Arm
    doc_id: int
    content: tuple[str, str]
    prompt: str
    filter: str
    scores: dict[str, float | None]
    answers: object


class TaskResult(NamedTuple):
    """A task judged by one metric; only the first metric of a task is no exploratory one.

    Args:
        comparison: named by the task; a claim that Holm does not confirm is taken back in it.
        adjusted_p: Holm's, over the tasks; None for exploratory metrics.
        filter: see `Sample`.
        counts: both right, only the base, only Theobot, both wrong; None for graded scores.
        dropped: documents without both scores.
    """

    comparison: Comparison
    adjusted_p: float | None
    filter: str
    counts: tuple[int, ...] | None
    dropped: int


class RegressResult(NamedTuple):
    """What was found; `unjudged` are metrics without a score in 0..1 for each document."""

    results: list[TaskResult]
    unjudged: list[str]
    decision: Decision
    file: Path


def sample_of(task: str, arm: Arm, logged: Mapping[str, Any]) -> Sample:
    """What is kept of a sample as lm-eval logs it: all but its texts."""
    return Sample(
        task,
        arm,
        logged["doc_id"],
        (logged["doc_hash"], logged["target_hash"]),
        logged["prompt_hash"],
        logged["filter"],
        {name: _number(logged.get(name)) for name in logged["metrics"]},
        plain(logged["filtered_resps"]),
    )


def _number(value: Any) -> float | None:
    """A finite number, NumPy's too; None for anything else, such as a pair."""
    value = value.item() if getattr(value, "shape", None) == () else value
    usable = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if usable else None


def refuse_unlike(samples: Iterable[Sample], *, same_prompt: bool) -> None:
    """Make sure that there are pairs at all.

    Raises:
        DataError: a document, or with `same_prompt` its prompt, is not the same for both arms.
    """
    known: dict[tuple[str, int], tuple[str, ...]] = {}
    for sample in samples:
        asked = (*sample.content, sample.prompt) if same_prompt else sample.content
        if known.setdefault((sample.task, sample.doc_id), asked) != asked:
            raise DataError(
                f"{sample.task}: document {sample.doc_id} was not the same for base and Theobot, "
                "so that nothing can be paired. Does the task draw its documents at random?"
            )


def judge_samples(
    samples: Sequence[Sample], metrics: Mapping[str, Mapping[str, bool]]
) -> tuple[list[TaskResult], list[str]]:
    """Judge every metric of every task; the first of each task makes a claim.

    Args:
        samples: of both arms, in any order.
        metrics: by task, those that are means over documents, and whether more of it is better.

    Returns:
        The results, in the order of the tasks; and the metrics that cannot be paired.
    """
    results: list[TaskResult] = []
    unjudged: list[str] = []
    for task, averaged in metrics.items():
        scores: dict[tuple[str, str], dict[Arm, dict[int, float | None]]] = {}
        for sample in (one for one in samples if one.task == task):
            for name, score in sample.scores.items():
                arms = scores.setdefault((name, sample.filter), {arm: {} for arm in ARMS})
                arms[sample.arm][sample.doc_id] = score
        first = True
        for (name, chosen), arms in scores.items():
            found = [one for by_id in arms.values() for one in by_id.values() if one is not None]
            if name in averaged and found and all(0 <= score <= 1 for score in found):
                results.append(_judge(task, name, chosen, arms, averaged[name], first))
                first = False
            else:
                unjudged.append(f"{task}: {name}")
    claims = [one for one in results if not one.comparison.exploratory]
    adjusted = iter(holm([one.comparison.p for one in claims]))
    return [
        one if one.comparison.exploratory else _after_holm(one, next(adjusted)) for one in results
    ], unjudged


def _judge(
    task: str,
    metric: str,
    chosen: str,
    arms: Mapping[Arm, Mapping[int, float | None]],
    more_is_better: bool,
    first: bool,
) -> TaskResult:
    ids = sorted({place for by_id in arms.values() for place in by_id})
    pairs = {place: [arms[arm].get(place) for arm in ARMS] for place in ids}
    kept = {
        str(place): tuple(s if more_is_better else 1 - s for s in pair if s is not None)
        for place, pair in pairs.items()
        if None not in pair
    }
    base, theobot = ([pair[column] for pair in kept.values()] for column in (0, 1))
    label = metric if more_is_better else f"1 - {metric}"
    one = compare(
        task, label, base, theobot, list(kept), margin=MARGIN, seed=SEED, exploratory=not first
    )
    dropped = len(ids) - len(kept)
    if dropped > MISSING_LIMIT * len(ids):
        one = one._replace(verdict=Verdict.CANNOT_TELL)
    counts = tuple(list(kept.values()).count(cell) for cell in _CELLS)
    return TaskResult(one, None, chosen, counts if sum(counts) == one.n else None, dropped)


def _after_holm(result: TaskResult, adjusted: float) -> TaskResult:
    """Take back a claim of better or worse that so many tasks could bring about by chance."""
    one = result.comparison
    if one.verdict in _CLAIMS and adjusted > _ALPHA:
        unknown = Interval(one.difference.mean, -math.inf, math.inf, one.n)
        narrow = Interval(one.difference.mean, one.low90, one.high90, one.n)
        one = one._replace(verdict=verdict_of(unknown, narrow, one.margin))
    return result._replace(comparison=one, adjusted_p=adjusted)


def decide_regress(results: Iterable[TaskResult]) -> Decision:
    """0: no task is worse by the margin; 3: some task is worse; 4: one cannot tell."""
    claims = [one.comparison for one in results if not one.comparison.exploratory]
    names = {v: ", ".join(one.name for one in claims if one.verdict is v) for v in Verdict}
    if worse := names[Verdict.WORSE]:
        return Decision(3, f"Worse on {worse}, and perhaps by more than the margin.", False)
    if unknown := names[Verdict.CANNOT_TELL]:
        return Decision(4, f"Cannot tell on {unknown}.", None)
    return Decision(0, "No task is worse by the margin.", True)


def load_harness() -> Any:
    """The module that speaks to lm-eval.

    Raises:
        SettingsError: lm-eval is not installed, or too old.
    """
    # Read when huggingface_hub is imported, which lm-eval does.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        from theobot.bench.regress import harness
    except ImportError as error:
        raise SettingsError(
            f'This needs lm-eval, 0.4.13 or newer ({error}). Type: pip install "theobot[regress]"'
        ) from None
    return harness


def run_regress(
    generator: LocalGenerator,
    tasks: Mapping[str, Any],
    folder: Path,
    *,
    batch_size: int,
    same_prompt: bool = False,
    limit: int | None = None,
    show_bars: bool = False,
    on_note: Callable[[str], None] = lambda text: None,
) -> RegressResult:
    """Ask base and Theobot every task, save their scores, judge them.

    Args:
        generator: with both arms.
        tasks: from `harness.load_tasks`.
        folder: for the two files; made when missing.
        batch_size: rows of a pass.
        same_prompt: the bare text of the task for both, instead of each its own format.
        limit: most documents of each task.
        show_bars: let lm-eval show on stderr how far it is.
        on_note: told in a sentence what is being done.

    Raises:
        InvalidRunError: the adapter has no effect.
        TheobotError: tasks, adapter or folder cannot be used, or there is nothing to compare.
    """
    from theobot.bench.benchmark import check_adapter
    from theobot.bench.questions import read_questions

    harness = load_harness()
    effect = check_adapter(generator, read_questions(limit=8))
    formats: dict[Arm, PromptFormat | None] = {
        arm: None if same_prompt else generator.formats[arm] for arm in ARMS
    }
    alike = len(set(formats.values())) == 1
    about = {name: harness.describe_task(task) for name, task in tasks.items()}
    _warn(about, alike, on_note)
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for arm, chosen in formats.items():
        on_note(f"{arm}: prompts in {f'the {chosen} format' if chosen else 'bare text'}.")
        with contextlib.nullcontext() if show_bars else contextlib.redirect_stderr(io.StringIO()):
            logged = harness.run_tasks(
                generator, arm, tasks, chosen, limit=limit, batch_size=batch_size, seed=SEED
            )
        samples += [sample_of(name, arm, one) for name, one in logged]
    lines = [json.dumps(sample._asdict(), ensure_ascii=False) for sample in samples]
    write_text(folder / SAMPLES, "".join(f"{line}\n" for line in lines))
    refuse_unlike(samples, same_prompt=alike)
    facts = {"tasks": about, "prompts": formats, "limit": limit, "batch_size": batch_size,
             "seed": SEED, "adapter_effect": effect, **generator.describe(),
             "lm_eval": harness.VERSION, "theobot": __version__}  # fmt: skip
    metrics = {name: harness.averaged_metrics(task) for name, task in tasks.items()}
    return _conclude(*judge_samples(samples, metrics), facts, folder / RESULT)


def _warn(about: Mapping[str, Any], alike: bool, on_note: Callable[[str], None]) -> None:
    if not alike:
        on_note(
            "Each is asked in its own prompt format, so that a difference may come from that too; "
            "--same-prompt gives both the bare text of the task."
        )
    for name, facts in about.items():
        if "ends_at" in facts:
            on_note(f"{name}: its answers are cut by {json.dumps(facts['ends_at'])}.")


def _conclude(
    results: list[TaskResult], unjudged: list[str], facts: Mapping[str, Any], file: Path
) -> RegressResult:
    if not results:
        raise DataError(
            f"--tasks: nothing to pair: {', '.join(unjudged)} has no score between 0 and 1 for a "
            "single document. Choose tasks with acc or exact_match."
        )
    decision = decide_regress(results)
    write_json(
        file, plain({"decision": decision, "results": results, "unjudged": unjudged, **facts})
    )
    return RegressResult(results, unjudged, decision, file)
