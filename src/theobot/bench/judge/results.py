"""What a language model's verdicts say of saved answers, and how far people agree with it.

Everything here is exploratory. It is told in its own place, and nothing in the verdict, the primary
scores or the exit code comes from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from theobot.bench.answers import text_hash
from theobot.bench.comparison import Comparison, compare
from theobot.bench.judge.prompts import CRITERIA, Task, criteria_of, prompt_hash, task_key
from theobot.bench.marking.agreement import krippendorff, position_bias
from theobot.bench.marking.mark_outcome import check_automatic
from theobot.bench.marking.marking import unblind
from theobot.bench.marking.prefer_outcome import preferred_answers
from theobot.bench.questions import SETS, TRAPS, Question, spread
from theobot.bench.saved import JUDGE, Answered, cluster_of, read_object
from theobot.bench.scoring.scores import full_marks
from theobot.bench.statistics import Rate, wilson
from theobot.errors import RunError
from theobot.generation.generator import ARMS

VERDICTS = "judge.jsonl"
"""Every verdict of every judge, one a line, only ever added to."""
NOT_CHECKED = "Not yet checked against a teacher."

_SAME_FAMILY = re.compile(r"qwen|qwq|theobot", re.IGNORECASE)


class JudgeSettings(NamedTuple):
    """Who was asked, where, and about how many questions a set; None of all."""

    judge: str
    server: str
    limit: int | None


class VerdictLine(NamedTuple):
    """One line of the store.

    Args:
        key: hash of the judge, its server and every word of the request.
        judge: name of the model.
        server: its address.
        prompt: hash of the wording.
        question: id.
        answers: SHA-256 of the text that was marked, or of both that were compared, in order.
        verdict: as `read_reply` gives it; None where two replies held none.
    """

    key: str
    judge: str
    server: str
    prompt: str
    question: str
    answers: list[str]
    verdict: dict[str, Any] | None


_LINE = TypeAdapter(VerdictLine)
_SETTINGS = TypeAdapter(JudgeSettings)


class JudgedPairs(NamedTuple):
    """Questions of a set by which answer was preferred.

    Args:
        name: the set, or "all".
        questions: compared in both orders.
        wins: Theobot's answer in both.
        losses: the base's in both.
        ties: neither in both, or not the same in both.
        consistent: the same was said in both orders.
        win_rate: Theobot's share of the decisive ones.
    """

    name: str
    questions: int
    wins: int
    losses: int
    ties: int
    consistent: Rate
    win_rate: Rate


def of_same_family(judge: str) -> bool:
    """Whether a model's name says that it is of the family of those to be judged."""
    return _SAME_FAMILY.search(judge) is not None


def planned_tasks(answered: Answered, settings: JudgeSettings) -> dict[str, Task]:
    """By key all that is asked, in order: each answer, then both orders of two that differ."""
    limit = settings.limit
    chosen = answered.pairs if limit is None else spread(answered.pairs, limit)
    tasks = (task for question in chosen for task in _tasks_of(answered, question))
    return {task_key(task, settings.judge, settings.server): task for task in tasks}


def _tasks_of(answered: Answered, question: Question) -> Iterator[Task]:
    base, theobot = _texts(answered, question)
    yield Task(question, (base,))
    yield Task(question, (theobot,))
    if base.strip() != theobot.strip():
        yield Task(question, (base, theobot))
        yield Task(question, (theobot, base))


def _texts(answered: Answered, question: Question) -> tuple[str, str]:
    base, theobot = (answered.records[question.id, arm].text for arm in ARMS)
    return base, theobot


def read_verdicts(path: Path) -> dict[str, dict[str, Any] | None]:
    """Verdicts of a store by key; the rest of a cut last line does not count.

    Raises:
        RunError: damaged, or cannot be read.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raw = b""
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}.") from None
    found = {}
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        try:
            one = _LINE.validate_json(line, strict=True)
        except ValueError:
            raise RunError(
                f"{path}:{number}: damaged. Delete the line, and type `theobot bench judge` again."
            ) from None
        found[one.key] = one.verdict
    return found


def summarise_judge(folder: Path, answered: Answered) -> dict[str, Any] | None:
    """What the judge that was asked last says of the answers as they are now; None without one.

    Raises:
        RunError: a file of the judge is damaged.
    """
    told = read_object(folder / JUDGE)
    if not told:
        return None
    try:
        known = {name: told[name] for name in JudgeSettings._fields}
        settings = _SETTINGS.validate_python(known, strict=True)
    except (KeyError, ValueError):
        raise RunError(f"{folder / JUDGE}: damaged. Type `theobot bench judge` again.") from None
    judged = _Judged(answered, settings, read_verdicts(folder / VERDICTS))
    people, problem = _people(folder, judged)
    shown = [verdict["better"] for verdict in judged.found.values() if "better" in verdict]
    pairs = [judged.pairs(name) for name in (*SETS, TRAPS, "all")]
    return {
        **settings._asdict(),
        "prompt": prompt_hash(),
        "requests": judged.requests,
        "sentence": _sentence(settings.judge, pairs[-1], answered.rival.name),
        "notes": _notes(judged, people, problem),
        "marks": [one for name in (*SETS, TRAPS) if (one := judged.comparison(name)).n],
        "preferences": [one for one in pairs if one.questions],
        "first": position_bias(shown.count("A"), shown.count("B")),
        "criteria": judged.criteria(),
        "people": people,
    }


class _Judged:
    """Verdicts of one judge on the answers of one folder.

    `found` has them by question id and answers; `shares` the share of the marks by question id and
    arm, as `scores` counts key points; `outcomes` by question id the arm that was preferred or
    "tie", and whether both orders said so.
    """

    def __init__(
        self,
        answered: Answered,
        settings: JudgeSettings,
        stored: Mapping[str, dict[str, Any] | None],
    ) -> None:
        tasks = planned_tasks(answered, settings)
        known = {key: stored[key] for key in tasks if key in stored}
        self.answered, self.settings = answered, settings
        self.requests = {
            "asked": len(tasks),
            "answered": len(known),
            "without a verdict": list(known.values()).count(None),
        }
        self.found = {
            (tasks[key].question.id, tasks[key].answers): verdict
            for key, verdict in known.items()
            if verdict is not None
        }
        self.questions = {task.question.id: task.question for task in tasks.values()}
        self.shares: dict[tuple[str, str], float] = {}
        self.outcomes: dict[str, tuple[str, bool]] = {}
        for question in self.questions.values():
            self._take_marks(question)
            self._take_preference(question)

    def _take_marks(self, question: Question) -> None:
        scheme = question.meta.get("key_points") or []
        tariff = full_marks(question)
        for arm, text in zip(ARMS, _texts(self.answered, question), strict=True):
            verdict = self.found.get((question.id, (text,)))
            if scheme and verdict is not None:
                made = zip(scheme, verdict["points"], strict=True)
                earned = sum(int(point["marks"]) for point, yes in made if yes)
                self.shares[question.id, arm] = min(tariff, earned) / tariff

    def _take_preference(self, question: Question) -> None:
        texts = _texts(self.answered, question)
        one, two = (self.found.get((question.id, order)) for order in (texts, texts[::-1]))
        if one is not None and two is not None:
            first = {"A": "base", "B": "theobot"}.get(one["better"], "tie")
            second = {"A": "theobot", "B": "base"}.get(two["better"], "tie")
            same = first == second
            self.outcomes[question.id] = (first if same else "tie", same)

    def comparison(self, name: str) -> Comparison:
        """Shares of the marks over a set's questions of which both answers have one."""
        both = [
            question
            for question in self.questions.values()
            if question.set == name and all((question.id, arm) in self.shares for arm in ARMS)
        ]
        base, theobot = ([self.shares[question.id, arm] for question in both] for arm in ARMS)
        return compare(
            name,
            "share of the marks, by a language model",
            base,
            theobot,
            [cluster_of(question) for question in both],
            margin=self.answered.plan.in_domain.margin,
            seed=self.answered.plan.sign_flip_seed,
            exploratory=True,
        )

    def pairs(self, name: str) -> JudgedPairs:
        """Preferences of a set, or of "all"."""
        found = [
            outcome
            for question, outcome in self.outcomes.items()
            if name in ("all", self.questions[question].set)
        ]
        arms = [arm for arm, _ in found]
        wins, losses = arms.count("theobot"), arms.count("base")
        return JudgedPairs(
            name,
            len(found),
            wins,
            losses,
            arms.count("tie"),
            wilson(sum(same for _, same in found), len(found)),
            wilson(wins, wins + losses),
        )

    def criteria(self) -> dict[str, dict[str, float]]:
        """Means of 0 to 2 over questions of which both answers were judged by the criterion."""
        table: dict[str, dict[str, float]] = {}
        for name in CRITERIA:
            rows = []
            for question in self.questions.values():
                both = [self.found.get((question.id, (text,)))
                        for text in _texts(self.answered, question)]  # fmt: skip
                if name in criteria_of(question) and None not in both:
                    rows.append([one["criteria"][name] for one in both if one])
            if rows:
                base, theobot = (fmean(column) for column in zip(*rows, strict=True))
                table[name] = {"base": base, "theobot": theobot, "n": len(rows)}
        return table


def _people(folder: Path, judged: _Judged) -> tuple[dict[str, Any] | None, str]:
    """Agreement with blind marks of the same texts; and why there is none, if files fail."""
    try:
        data = unblind(folder)
    except RunError as error:
        # A judge is no reason to withhold a report; a note says what is wrong.
        return None, str(error)
    if data is None:
        return None, ""
    same = {
        (question, arm)
        for question, arm in judged.answered.records
        if data.hashes.get((question, arm))
        == text_hash(judged.answered.records[question, arm].text)
    }
    shares: dict[tuple[str, str], float] = {
        place: share for place, share in judged.shares.items() if place in same
    }
    marks = check_automatic(data._replace(automatic=shares))
    both = [
        (theirs if theirs in ARMS else "tie", judged.outcomes[question][0])
        for question, theirs in preferred_answers(data).items()
        if question in judged.outcomes and all((question, arm) in same for arm in ARMS)
    ]
    found: dict[str, Any] = {}
    if marks is not None:
        found["marks"] = {"n": marks.n, "kappa": marks.kappa, "spearman": marks.spearman}
    if both:
        agreed = wilson(sum(theirs == own for theirs, own in both), len(both))
        found["preferences"] = {"same": agreed, "alpha": krippendorff(both, "nominal")}
    return found or None, ""


def _sentence(judge: str, pairs: JudgedPairs, rival: str) -> str:
    if not pairs.questions:
        return f"{judge} has not compared these answers in both orders yet."
    return (
        f"{judge} compared the answers to {pairs.questions} questions: it preferred Theobot's on "
        f"{pairs.wins}, {rival}'s on {pairs.losses}, neither on {pairs.ties}. With the places of "
        f"the answers swapped, it said the same on {pairs.consistent.value:.0%}."
    )


def _notes(judged: _Judged, people: Mapping[str, Any] | None, problem: str) -> Sequence[str]:
    notes = ["Exploratory: one model's opinion. The verdict and the scores above do not use it."]
    if people is None:
        notes.append(f"{NOT_CHECKED} {problem}".strip())
    elif (judged.answered.marks or {}).get("withheld"):
        notes.append("The people whom it is held against do not agree among themselves.")
    if of_same_family(judged.settings.judge):
        notes.append(
            "The judge is of the same family as the models that it judges, and models prefer their "
            "own kind; it was taken by --allow-same-family."
        )
    asked, answered, unread = judged.requests.values()
    if answered < asked:
        notes.append(
            f"{asked - answered} of {asked} requests have no reply: the judge was interrupted, or "
            "the answers have changed since. The same `theobot bench judge` goes on."
        )
    if unread:
        notes.append(f"{unread} of {answered} requests gave no verdict; they count as none.")
    return notes
