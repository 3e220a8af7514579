"""How the results of commands look: what each says, in which order, and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from theobot.data.findings import Severity
from theobot.generation.generator import ARMS
from theobot.model.memory import GIB
from theobot.terminal import duration, facts, heading, line, note, size, table

if TYPE_CHECKING:
    from pathlib import Path

    from theobot.bench.benchmark import BenchResult
    from theobot.bench.leaks import Leak
    from theobot.bench.marking.results import MarkingResult
    from theobot.bench.probes.likelihood import LikelihoodComparison
    from theobot.bench.regress.regress import RegressResult
    from theobot.bench.statistics import Interval
    from theobot.data.check import Checked
    from theobot.data.outcomes import Outcome
    from theobot.data.repair import Repair
    from theobot.data.split import Split
    from theobot.doctor.facts import Facts
    from theobot.doctor.finding import Finding
    from theobot.run_folder import RunSummary
    from theobot.scripture.grounding import Grounded
    from theobot.training.forecast import Forecast
    from theobot.training.train import TrainResult


def show_forecast(summary: Mapping[str, object], forecast: Forecast) -> None:
    """What `--dry-run` answers: the plan, then memory and time."""
    facts({**summary, **forecast.facts()})
    if forecast.seconds is not None:
        line(f"expected_time: about {duration(forecast.seconds)}")
    for text in forecast.notes:
        note(text)


_SEVERITIES = {"error": "To mend", "warning": "To keep in mind", "info": "Good to know"}


def show_doctor(seen: Facts, findings: Sequence[Finding]) -> None:
    """What `doctor` saw in short, then what it found, the gravest first, each with its fix."""
    facts(_machine(seen))
    for severity, title in _SEVERITIES.items():
        some = [finding for finding in findings if finding.severity == severity]
        if some:
            line()
            heading(f"{title}: {len(some)}")
        for finding in some:
            _show_finding(finding)
    if not any(finding.severity == "error" for finding in findings):
        line()
        line("Nothing to mend.")
    for section, reason in seen.unknown.items():
        note(f"Not seen: {section.replace('_', ' ')} ({reason}).")


def _machine(seen: Facts) -> dict[str, object]:
    """A few lines about the machine, for whoever is asked for help."""
    system, torch = seen.system, seen.torch
    gpus = [
        f"{device.name} ({device.arch}), {device.free / GIB:.1f} GiB of "
        f"{device.memory / GIB:.1f} GiB free"
        for device in (torch.devices if torch else ())
    ]
    return {
        "system": f"{system.distribution or system.name}, {system.release}, {system.machine}",
        "python": system.python,
        "torch": torch.version if torch else "not installed",
        "gpu": gpus or ("Apple" if torch and torch.mps else "none that torch can use"),
        "base model": seen.model,
    }


def _show_finding(finding: Finding) -> None:
    line()
    heading(f"{finding.title} [{finding.id}]")
    line(f"  {finding.seen}")
    line(f"  Why: {finding.why}")
    for step in finding.fix:
        line(f"    {step[2:]}" if step.startswith("$ ") else f"  {step}")


def show_grounded(asked: Grounded) -> None:
    """What the model was given beside the question; nothing where that is nothing."""
    for verse in asked.given:
        note(f'Given with the question: {verse.reference} ({verse.translation}): "{verse.text}"')
    for sentence in asked.missing:
        note(sentence)


def show_runs(runs: Iterable[RunSummary]) -> None:
    """The runs of a folder as a table."""
    rows = [
        (
            run.name,
            run.status,
            run.data,
            run.model,
            run.steps,
            "-" if run.best_loss is None else f"{run.best_loss:.4f}",
            run.verdict,
            size(run.octets),
        )
        for run in runs
    ]
    table(("run", "status", "data", "model", "steps", "best loss", "verdict", "size"), rows)


def show_checks(checked: Iterable[Checked]) -> None:
    """What `data check` found, file by file: findings by line, then counts."""
    for item in checked:
        errors, warnings = item.count(Severity.ERROR), item.count(Severity.WARNING)
        said = [_counted(errors, "error")] * bool(errors)
        said += [_counted(warnings, "warning")] * bool(warnings)
        heading(f"{item.file}: {', '.join(said) or 'clean'}")
        for finding in item.findings:
            line(f"  {finding.where}: {finding.severity}: {finding.message}")
        counts, tokens = dict(item.summary), item.summary.get("tokens")
        counts.pop("tokens", None)
        facts(counts, indent=1)
        if tokens:
            _show_histogram("rows by length in tokens", tokens)


def _show_histogram(title: str, counts: Mapping[str, int]) -> None:
    line(f"  {title}:")
    width, most = max(map(len, counts)), max(counts.values())
    for name, count in counts.items():
        bar = "#" * -(-40 * count // most)
        line(f"    {name.rjust(width)}  {bar} {count}".rstrip())


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def show_outcome(file: str, outcome: Outcome, kinds: Sequence[str]) -> None:
    """What `data fix` did with one object, where it is of one of these kinds."""
    if outcome.kind in kinds:
        line(f"{file}:{outcome.first}: {outcome.reason or '; '.join(outcome.repairs)}")


def show_repair(result: Repair) -> None:
    """How `data fix` went as a whole."""
    note(", ".join(f"{count} {kind}" for kind, count in result.counts.items()))
    if result.rejected:
        note(f"Could not be read for sure; mend by hand: {result.rejected}")
    note(f"Written: {result.output}")


def show_split(result: Split) -> None:
    """What `data split` wrote; the paths are the answer on stdout."""
    note(
        f"{result.train_rows} rows to train on, {result.dev_rows} to judge by; no verse or topic "
        f"is in both ({result.clusters} clusters)."
    )
    line(str(result.train))
    line(str(result.dev))


def show_training(result: TrainResult) -> None:
    """How a run ended and what to type next; the adapter's path is the answer on stdout."""
    folder = result.folder
    if result.interrupted:
        note(
            f"Interrupted after step {result.steps} of {result.total_steps}; saved. Go on with: "
            f"theobot train --output {folder.path} --resume"
        )
        return
    best = ""
    if result.best_dev_loss is not None:
        best = f", best dev loss {result.best_dev_loss:.4f} (step {result.best_step}, kept)"
    if result.stopped_early:
        where = f"step {result.steps} of {result.total_steps}"
        note(f"Stopped early, at {where}: {result.stopped_early}.")
    loss = "loss not noted" if result.final_loss is None else f"loss {result.final_loss:.4f}"
    note(f"Trained {result.steps} steps in {duration(result.seconds)}: {loss}{best}.")
    note(f'Ask it: theobot ask --run {folder.path} "..."   Loss over time: {folder.loss_svg}')
    line(str(folder.adapter))


def show_bench(result: BenchResult) -> None:
    """Are the answers sound at first sight, then the verdict and the files."""
    names = dict(zip(ARMS, result.report.arms, strict=True))
    rows = [
        (
            figures.set.replace("_", "-"),
            names[figures.arm],
            str(figures.answers),
            "-" if figures.stopped is None else f"{figures.stopped:.0%}",
            f"{figures.repeats:.0%}",
            f"{figures.median_words:g}",
            "-" if figures.overlap is None else f"{figures.overlap:.2f}",
            "-" if figures.overlap_gain is None else _interval(figures.overlap_gain),
        )
        for figures in result.health
    ]
    columns = ("set", "model", "answers", "ended", "repeat", "median words", "overlap", "gain")
    table(columns, rows)
    note("ended: by an end-of-sequence token; repeat: the same six words twice; overlap: words")
    note("shared with the question's own reference answer; gain: the same less that with other")
    note("questions' references, 95 % interval. None of this says whether an answer is right.")
    show_report(result)


def show_report(result: BenchResult) -> None:
    """The verdict of each set in points of 100 marks, what to doubt, then the files to open."""
    from theobot.bench.report import words as words

    report = result.report
    columns = (
        *("set", "questions", *report.arms),
        *("difference (95 %)", "better/equal/worse", ""),
    )
    table(
        columns,
        [
            (
                one.name.replace("_", "-"),
                str(one.n),
                words.points(one.base, signed=False),
                words.points(one.theobot, signed=False),
                f"{words.points(one.difference.mean)} ({words.interval_words(one.difference)})",
                f"{one.better}/{one.equal}/{one.worse}",
                one.verdict.value,
            )
            if one.n
            else (one.name.replace("_", "-"), *["0", *[words.UNKNOWN] * 4], "no score")
            for one in report.sets
        ],
    )
    line(report.decision.words)
    for one in report.sets:
        if one.more_questions:
            more = f"{one.more_questions} more {one.name.replace('_', '-')} questions"
            note(f"About {more} would settle its margin{words.cut_words(one)}.")
    for light in report.trust:
        if light.state != "good":
            note(f"{light.name}: {light.sentence}")
    for path in (*result.reports, result.side_by_side, *result.files):
        line(str(path))


def show_judge(result: BenchResult) -> None:
    """What a language model said of the answers, what to doubt, then where to read it."""
    judge = result.report.judge
    assert judge is not None, "there is one once it was asked"
    line(judge["sentence"])
    for text in judge["notes"]:
        note(text)
    for path in result.reports:
        line(str(path))


def show_regress(result: RegressResult) -> None:
    """The tasks as a Markdown table, in points of 100 documents; the decision; the file."""
    from theobot.bench.report import words as words
    from theobot.bench.report.markdown import markdown_table

    heads = ("task", "metric", "documents", "base", "Theobot", "points", "95 % interval",
             "both right / only base / only Theobot / neither", "p (Holm)", "verdict")  # fmt: skip
    rows = [
        (one.name, one.metric, one.n, words.points(one.base, signed=False),
         words.points(one.theobot, signed=False), words.points(one.difference.mean),
         words.interval_words(one.difference), " / ".join(map(str, counts or [words.UNKNOWN])),
         words.p_words(p), words.verdict_words(one))
        for one, p, _, counts, _ in result.results
    ]  # fmt: skip
    line(markdown_table(heads, rows))
    line(result.decision.words)
    for found in result.results:
        if found.dropped:
            note(
                f"{found.comparison.name}: {found.dropped} documents lack a score and are left out."
            )
        if not found.comparison.exploratory and (more := words.open_words(found.comparison)):
            note(f"{found.comparison.name}: {more}")
    if result.unjudged:
        note(f"Without a score for each document, not compared: {', '.join(result.unjudged)}.")
    line(str(result.file))


def show_leaks(leaks: Sequence[Leak]) -> None:
    """What `bench leaks` found: leaks with both texts, labels as counts."""
    fatal = [leak for leak in leaks if leak.level.is_leak]
    for leak in fatal:
        line(f"{leak.trained.where}: its {leak.sentence()}")
        line(f"    trained: {_first_words(getattr(leak.trained, leak.part))}")
        line(f"    asked:   {_first_words(getattr(leak.asked, leak.part))}")
    labels = Counter(leak.level.value for leak in leaks if not leak.level.is_leak)
    for name, count in sorted(labels.items()):
        note(f"{name.replace('_', ' ')} (no leak): {count}")
    line(_counted(len(fatal), "leak"))


def show_marking(result: MarkingResult, folder: Path) -> None:
    """What the marks say, what must not be concluded from them, and what to type next."""
    line(result.sentence)
    for reason in (*result.reasons, *result.notes):
        note(reason)
    note(f"To have them in the report: theobot bench report {folder}")


def _first_words(text: str, most: int = 160) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."


def show_likelihood(comparison: LikelihoodComparison) -> None:
    """How likely both find the reference answers, in one sentence."""
    gap = comparison.difference
    line(
        f"Reference answers of {gap.n} held-out questions, in nats per token (lower is better): "
        f"base {comparison.base_mean:.2f} (in the {comparison.base_format} format, its better "
        f"one), Theobot {comparison.theobot_mean:.2f}; difference {_interval(gap)}, 95 % interval."
    )


def _interval(interval: Interval) -> str:
    return f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
