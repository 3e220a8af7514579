"""Saved answers -> scores -> comparisons -> one `Report`: everything that needs no model.

`judge` may be called again at any time, also where torch is not installed: it reads what the
benchmark saved and writes `scores.json` and the three report files anew. What a language model said
of the answers, if one was asked, is told apart and decides nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from theobot.bench.answers import AnswerRecord
from theobot.bench.comparison import Comparison, Decision, Verdict, compare, decide
from theobot.bench.judge.results import summarise_judge
from theobot.bench.plan import changed_since_first_answer, differences, planned_sets
from theobot.bench.questions import SETS, TRAPS, Question
from theobot.bench.report.model import QuestionRow, Report, plain, questions_judged
from theobot.bench.rival import BASE, WITHOUT_VERSES
from theobot.bench.saved import JUDGE, SCORES, Answered, cluster_of
from theobot.bench.scoring.rates import count_rates
from theobot.bench.scoring.scores import chrf, count_citations
from theobot.bench.statistics import fit_line, holm, paired_interval
from theobot.bench.training_rows import verse_was_seen
from theobot.bench.trust import cut_share, lights_of
from theobot.errors import DataError
from theobot.generation.generator import ARMS
from theobot.run_folder import write_json

_LINE_NEEDS = 20
"""So many questions before a line through their differences is drawn."""


def judge(folder: Path, answered: Answered) -> Report:
    """Judge the saved answers of a benchmark folder, without a model.

    Args:
        folder: where scores and figures are written.
        answered: what was saved there.
    """
    report = make_report(answered, folder)
    write_json(
        folder / SCORES,
        [plain(score) for _, score in sorted(answered.scores.items(), key=lambda item: item[0])],
    )
    if report.judge:
        write_json(folder / JUDGE, plain(report.judge))
    return report


def make_report(answered: Answered, folder: Path) -> Report:
    """Everything that the report shows."""
    plan = answered.plan
    cut = {name: cut_share(answered, name) for name in SETS}
    primary = [_primary(answered, name, margin.margin) for name, margin in planned_sets(plan)]
    primary = [
        one._replace(verdict=Verdict.CANNOT_TELL, cut=True)
        if cut[one.name] > plan.truncation_limit
        else one
        for one in primary
    ]
    changed = changed_since_first_answer(folder, plan)
    names = answered.rival.headings
    changes = [*answered.probes.get("plan_changes", []), *_other_than_planned(answered)]
    if changed and not changes:
        changes = ["plan.json is not the file that was there when the first answer was written"]
    return Report(
        title=f"{names['base']} and {names['theobot']} on {len(answered.pairs)} questions",
        # When the plan was made, not now: judged again, the same answers give the same files.
        created=plan.created,
        plan_status="changed after answers were seen" if changed or changes else "planned",
        plan_changes=list(dict.fromkeys(changes)),
        decision=_decide(answered, primary, cut),
        sets=primary,
        rows=[_row(answered, question) for question in answered.pairs],
        holm=_holm(primary),
        trust=lights_of(answered, cut, changed or bool(changes)),
        themes=_groups(answered, "in_domain", lambda q: _text(q.meta.get("theme"))),
        tariffs=_groups(answered, "in_domain", _tariff),
        secondary=_secondary(answered),
        rates=count_rates(answered.pairs, list(_kept(answered))),
        seen=_groups(answered, "in_domain", lambda q: _seen(answered, q)),
        traps=next(iter(_groups(answered, TRAPS, lambda _: "traps")), None),
        length_adjusted=_at_equal_length(answered),
        drift=answered.probes.get("drift"),
        noise=answered.probes.get("noise"),
        marks=answered.marks,
        judge=summarise_judge(folder, answered),
        leaks=answered.probes.get("leaks", []),
        fingerprint=_fingerprint(answered),
        cannot_show=_cannot_show(answered),
        random_seed=plan.random_ten_seed,
        arms=(names["base"], names["theobot"]),
    )


def _other_than_planned(answered: Answered) -> list[str]:
    """Where the answers themselves say that they are not those of the plan."""
    for record in answered.records.values():
        against = record.against_sha256 or answered.rival.name
        facts = {"base": record.model, "adapter": record.adapter_sha256, "against": against}
        return differences(answered.plan, facts)
    return []


def _kept(answered: Answered) -> Iterable[AnswerRecord]:
    return (answered.records[question.id, arm] for question in answered.pairs for arm in ARMS)


def _compare(
    answered: Answered,
    name: str,
    questions: Sequence[Question],
    *,
    margin: float,
    exploratory: bool = True,
) -> Comparison:
    base, theobot = ([answered.scores[q.id, arm].value for q in questions] for arm in ARMS)
    return compare(
        name,
        "share of the marks",
        base,
        theobot,
        [cluster_of(question) for question in questions],
        margin=margin,
        seed=answered.plan.sign_flip_seed,
        exploratory=exploratory,
    )


def _primary(answered: Answered, name: str, margin: float) -> Comparison:
    questions = [question for question in answered.scored if question.set == name]
    return _compare(answered, name, questions, margin=margin, exploratory=False)


def _holm(primary: Sequence[Comparison]) -> dict[str, float]:
    known = [one for one in primary if one.n and math.isfinite(one.p)]
    adjusted = holm([one.p for one in known])
    return {one.name: p for one, p in zip(known, adjusted, strict=True)}


def _groups(
    answered: Answered, name: str, key: Callable[[Question], str | None]
) -> list[Comparison]:
    """One exploratory comparison for each group of a set, in the order of their names."""
    groups: dict[str, list[Question]] = defaultdict(list)
    for question in answered.scored:
        label = key(question) if question.set == name else None
        if label is not None:
            groups[label].append(question)
    margin = answered.plan.in_domain.margin
    return [_compare(answered, label, groups[label], margin=margin) for label in sorted(groups)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _tariff(question: Question) -> str | None:
    if question.marks is None:
        return None
    return f"{question.marks:>2} mark{'s' if question.marks != 1 else ''}"


def _seen(answered: Answered, question: Question) -> str | None:
    seen = verse_was_seen(answered.probes, question)
    return None if seen is None else ("verse seen in training" if seen else "verse not seen")


def _decide(answered: Answered, primary: list[Comparison], cut: Mapping[str, float]) -> Decision:
    claims, rival = dict(planned_sets(answered.plan)), answered.rival
    better = [one for one in primary if claims[one.name].hypothesis == "better"]
    others = [one for one in primary if claims[one.name].hypothesis == "not_worse"]
    if rival == WITHOUT_VERSES:
        # Asked are the questions alone that name verses: nothing can be harmed in other sets.
        asked = {question.set for question in answered.questions}
        others = [one for one in others if one.name in asked]
    decision = decide(better, others, None if rival == BASE else rival.name)
    long = [name for name, share in cut.items() if share > answered.plan.truncation_limit]
    if decision.exit_code == 4 and long:
        names = ", ".join(name.replace("_", "-") for name in long)
        words = f"Cannot tell: too many answers were cut at their cap ({names} questions)."
        return Decision(4, words, None)
    return decision


def _row(answered: Answered, question: Question) -> QuestionRow:
    records = {arm: answered.records[question.id, arm] for arm in ARMS}
    scores = {arm: answered.scores.get((question.id, arm)) for arm in ARMS}
    base, theobot = scores["base"], scores["theobot"]
    names = answered.rival.headings
    flags = [
        f"{names[arm]} {flag}"
        for arm in ARMS
        for flag, present in (
            ("cut", records[arm].stop_reason == "length"),
            ("empty", not records[arm].text.strip()),
        )
        if present
    ]
    cited = {arm: _citations(records[arm].text) for arm in ARMS}
    flags += [
        f"{names[arm]} cites what does not exist"
        for arm in ARMS
        if any(status == "missing" for _, status, _ in cited[arm])
    ]
    return QuestionRow(
        question.id,
        question.set,
        _text(question.meta.get("theme")),
        _text(question.meta.get("qtype")),
        question.marks,
        question.text,
        question.reference,
        verse_was_seen(answered.probes, question),
        records["base"].text,
        records["theobot"].text,
        base,
        theobot,
        theobot.value - base.value if base and theobot else None,
        flags,
        cited,
    )


def _citations(text: str) -> list[tuple[str, str, str]]:
    from theobot.scripture import find_citations

    return [(one.text, one.status.value, one.reason) for one in find_citations(text)]


def _secondary(answered: Answered) -> list[Comparison]:
    """Likeness to the references and citations that exist, as diagnostics."""
    found = []
    for name in SETS:
        questions = [q for q in answered.pairs if q.set == name and q.reference]
        if not questions:
            continue
        values = [
            [chrf(answered.records[q.id, arm].text, q.reference or "") for q in questions]
            for arm in ARMS
        ]
        label = f"likeness to the reference (chrF), {name.replace('_', '-')}"
        found.append(_diagnostic(answered, label, "chrF", values, questions))
    counts = {(one.id, one.arm): one for one in count_citations(list(_kept(answered)))}
    citing = [q for q in answered.pairs if all(counts[q.id, arm].cited for arm in ARMS)]
    if citing:
        values = [
            [1 - counts[q.id, arm].missing / counts[q.id, arm].cited for q in citing]
            for arm in ARMS
        ]
        label = "citations that exist, where both cite"
        found.append(_diagnostic(answered, label, "share of citations", values, citing))
    return found


def _diagnostic(
    answered: Answered,
    label: str,
    metric: str,
    values: Sequence[Sequence[float]],
    questions: Sequence[Question],
) -> Comparison:
    return compare(
        label,
        metric,
        values[0],
        values[1],
        [cluster_of(question) for question in questions],
        margin=answered.plan.in_domain.margin,
        seed=answered.plan.sign_flip_seed,
        exploratory=True,
    )


def _at_equal_length(answered: Answered) -> dict[str, Any] | None:
    """In-domain difference as it is, and as a line says it would be at equal length.

    d = a + b tanh(words' difference / its spread), least squares; a is the difference at equal
    length (after the length-controlled win rate of Dubois et al. 2024, arXiv:2404.04475). None
    where few questions would bend the line, or where it would have to be drawn beyond all that was
    seen, because one arm always gave the longer answer.
    """
    questions = [question for question in answered.scored if question.set == "in_domain"]
    scores = [[answered.scores[q.id, arm] for q in questions] for arm in ARMS]
    differences = [t.value - b.value for b, t in zip(*scores, strict=True)]
    longer = [t.words - b.words for b, t in zip(*scores, strict=True)]
    if len(questions) < _LINE_NEEDS or not min(longer) <= 0 <= max(longer):
        return None
    spread = pstdev(longer) or 1.0
    clusters = [cluster_of(question) for question in questions]
    bent = [math.tanh(words / spread) for words in longer]
    line = fit_line(bent, differences, clusters=clusters)
    if line is None:
        return None
    return {
        "raw": paired_interval(differences, clusters=clusters),
        "adjusted": line.intercept,
        "slope": line.slope,
        "words longer on average": fmean(longer),
    }


def _fingerprint(answered: Answered) -> dict[str, str]:
    record = next(iter(answered.records.values()), None)
    if record is None:
        raise DataError("There are no answers to judge yet. Type `theobot bench` first.")
    facts: dict[str, object] = {
        "base": record.model,
        "adapter (SHA-256)": record.adapter_sha256,
        "other adapter (weights and settings)": record.against_sha256,
    }
    names = answered.rival.headings
    for arm in ARMS:
        formats = {r.prompt_format for (_, of), r in answered.records.items() if of == arm}
        facts[f"prompt of {names[arm]}"] = ", ".join(sorted(formats))
    facts |= {f"decoding: {key}": value for key, value in record.decoding.items()}
    facts |= {f"questions: {name}": digest for name, digest in answered.plan.questions.items()}
    facts |= {
        "training rows (fingerprint)": answered.plan.data,
        "plan (SHA-256)": answered.plan.sha256(),
        "plan made": answered.plan.created,
        "code": answered.plan.code,
        "seed of sign flips": answered.plan.sign_flip_seed,
    }
    return {key: str(value) for key, value in facts.items() if value is not None}


def _cannot_show(answered: Answered) -> list[str]:
    sentences = [
        "Key points are found by their words: a right answer in other words can miss them, and a "
        "wrong one that uses them can score.",
        "Existence of a verse is checked, not whether the answer understands it.",
        "Themes and tariffs have few questions each; what they show is a hint, never a claim.",
    ]
    if not questions_judged(answered.marks):
        sentences.insert(0, "No teacher has marked these answers yet.")
    if "leaks" not in answered.probes:
        sentences.append("Whether the questions occur in the training rows is not known here.")
    if "drift" not in answered.probes:
        sentences.append("How far the adapter moves the model on ordinary text was not measured.")
    return sentences + _not_known_of_server(next(iter(answered.records.values())))


def _not_known_of_server(record: AnswerRecord) -> list[str]:
    """What answers of another server leave open."""
    if record.decoding.get("context") != "server":
        return []
    name = record.decoding["models"]["theobot"]
    used = f'A server gave these answers; which adapter it has under the name "{name}" is not known'
    if record.adapter_sha256 is not None:
        used += ": that it is the one named here, a person said"
    return [
        f"{used}.",
        "Nor is it known in which number format the server computes, and whether it did as it was "
        "told: the likeliest token each time, and no penalty for repetitions.",
        "A server gives no likelihoods: multiple choice was read from the answers.",
    ]
