"""Everything that the three report files show, as one value; and that value as JSON.

Shares (scores, differences, margins, rates) are between 0 and 1 or -1 and 1; the files show them
as points in 100 marks. Nothing here needs torch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from theobot.bench.comparison import Comparison, Decision, Verdict
from theobot.bench.questions import TRAPS
from theobot.bench.statistics import Interval, Rate

if TYPE_CHECKING:
    from theobot.bench.scoring.scores import Score
    from theobot.generation.generator import Arm

State = Literal["good", "warn", "bad", "unknown"]
SHOWN = 10
"""So many losses, gains and random questions are shown in full."""
_HALF = 0.5


class Light(NamedTuple):
    """A check of the benchmark on itself.

    Args:
        name: what was checked, such as "Leaks".
        state: what came out; "unknown" when it was not checked.
        sentence: what that means, for a person.
    """

    name: str
    state: State
    sentence: str


class QuestionRow(NamedTuple):
    """A question with both answers and what they earned.

    Args:
        id: stable id.
        set: "in_domain", "near_domain", "out_of_domain" or "trap".
        theme: key of the theme, if any.
        qtype: kind of question, if known.
        marks: the tariff, if known.
        question: its text.
        reference: a model answer, if any.
        seen_ref: whether its verse was trained on; None where there is none.
        base_text: the base's answer.
        theobot_text: Theobot's.
        base: the base's score; None where it could not be scored.
        theobot: Theobot's.
        difference: Theobot minus base in shares of the marks; None without both scores.
        flags: what is odd about the answers, such as "theobot cut".
        citations: per arm the citations of its answer: text, status and reason.
    """

    id: str
    set: str
    theme: str | None
    qtype: str | None
    marks: int | None
    question: str
    reference: str | None
    seen_ref: bool | None
    base_text: str
    theobot_text: str
    base: Score | None
    theobot: Score | None
    difference: float | None
    flags: Sequence[str]
    citations: Mapping[Arm, Sequence[tuple[str, str, str]]]


class Report(NamedTuple):
    """What the report files show.

    Of the free dictionaries every entry is shown; some keys are drawn besides:

    - drift: `kl` {name of the quantile: nats per token}, `top1` share of equal first choices;
    - marks: as `MarkingResult.to_json` gives them, such as `sentence`, `mark`, `prefer`,
      `automatic` and `comments` [{id, arm, text}];
    - judge: as `summarise_judge` gives it, such as `marks` [Comparison], `preferences`,
      `criteria`, `first` and `people`;
    - length_adjusted: `raw` and `adjusted` (Interval or number), `slope`.

    Args:
        title: of the page.
        created: when, in ISO 8601.
        plan_status: "planned" or "changed after answers were seen".
        plan_changes: what was changed.
        decision: what follows from the primary comparisons.
        sets: the primary comparisons: in-domain, near-domain, out of domain.
        rows: all questions.
        holm: p of each set that was compared, by Holm's method for three claims made separately.
        trust: checks of the benchmark on itself.
        themes: exploratory.
        tariffs: exploratory.
        secondary: other measures, by name.
        rates: name, rate of the base, rate of Theobot.
        seen: questions on verses seen in training, and on others.
        traps: questions with something false in them.
        length_adjusted: the difference at equal length of the answers.
        drift: how far the adapter moves the model on ordinary text.
        noise: base against base.
        marks: marks of people.
        judge: marks of a language model.
        leaks: leaks and labels.
        fingerprint: what is needed to do it again.
        cannot_show: what the reader must not conclude.
        random_seed: of the random questions that are shown.
        arms: what the two arms are called.
    """

    title: str
    created: str
    plan_status: str
    plan_changes: Sequence[str]
    decision: Decision
    sets: Sequence[Comparison]
    rows: Sequence[QuestionRow]
    holm: Mapping[str, float] = {}
    trust: Sequence[Light] = ()
    themes: Sequence[Comparison] = ()
    tariffs: Sequence[Comparison] = ()
    secondary: Sequence[Comparison] = ()
    rates: Sequence[tuple[str, Rate, Rate]] = ()
    seen: Sequence[Comparison] = ()
    traps: Comparison | None = None
    length_adjusted: Mapping[str, Any] | None = None
    drift: Mapping[str, Any] | None = None
    noise: Mapping[str, Any] | None = None
    marks: Mapping[str, Any] | None = None
    judge: Mapping[str, Any] | None = None
    leaks: Sequence[Mapping[str, Any]] = ()
    fingerprint: Mapping[str, str] = {}
    cannot_show: Sequence[str] = ()
    random_seed: int = 0
    arms: tuple[str, str] = ("Base", "Theobot")

    def to_json(self) -> dict[str, Any]:
        """Plain values, rows ordered by set and id; NaN and infinity become None."""
        value = plain(self._replace(rows=in_order(self.rows, self.sets)))
        assert isinstance(value, dict)
        return value


def questions_judged(marks: Mapping[str, Any] | None) -> int:
    """Of how many questions people judged both answers, in either mode of marking."""
    modes = ((marks or {}).get(mode) or {} for mode in ("mark", "prefer"))
    return sum(mode.get("questions") or 0 for mode in modes)


def plain(value: object) -> object:
    """Anything of a report in terms of JSON: dict, list, str, int, float, bool, None."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        entries = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [plain(entry) for entry in entries]
    return value if value is None or isinstance(value, (str, int)) else str(value)


def named(value: object, names: Mapping[Any, str]) -> object:
    """A plain value with its arms under other names, but for comparisons, which stay readable.

    Args:
        value: see `plain`.
        names: by arm.
    """
    if isinstance(value, list):
        return [named(entry, names) for entry in value]
    if not isinstance(value, dict) or {"difference", "verdict", "n"} <= set(value):
        return value
    found: dict[str, object] = {}
    for key, entry in value.items():
        if key == "arm":
            entry = names.get(entry, entry)
        elif key == "judged" and isinstance(entry, dict):
            entry = {who: names.get(given, given) for who, given in entry.items()}
        found[names.get(key, key)] = named(entry, names)
    return found


def comparison_of(value: Mapping[str, Any]) -> Comparison:
    """A comparison from its plain form; unknown bounds are infinite, unknown means NaN."""
    read = dict(value)
    read["difference"] = interval_of(value["difference"])
    read["verdict"] = Verdict(value["verdict"])
    unknown = {"base": math.nan, "theobot": math.nan, "low90": -math.inf, "high90": math.inf}
    for name, instead in {**unknown, "p": math.nan, "margin": math.nan}.items():
        read[name] = instead if value[name] is None else value[name]
    return Comparison(**read)


def interval_of(value: Mapping[str, Any]) -> Interval:
    """An interval from its plain form; unknown bounds are infinite."""
    mean, low, high = value["mean"], value["low"], value["high"]
    return Interval(
        math.nan if mean is None else mean,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        value["n"],
    )


def in_order(rows: Sequence[QuestionRow], sets: Sequence[Comparison] = ()) -> list[QuestionRow]:
    """Rows by set and id, traps last: the order does not depend on that of a file."""
    names = [one.name for one in sets] or ["in_domain", "near_domain", "out_of_domain"]
    known = {name: place for place, name in enumerate(names)} | {TRAPS: len(names) + 1}
    return sorted(rows, key=lambda row: (known.get(row.set, len(names)), row.set, row.id))


def losses(rows: Sequence[QuestionRow], most: int = SHOWN) -> list[QuestionRow]:
    """The questions on which Theobot lost most; at equal shares those with more marks first."""
    return _extreme(rows, most, 1)


def gains(rows: Sequence[QuestionRow], most: int = SHOWN) -> list[QuestionRow]:
    """The questions on which Theobot gained most."""
    return _extreme(rows, most, -1)


def random_rows(rows: Sequence[QuestionRow], seed: int, most: int = SHOWN) -> list[QuestionRow]:
    """A seeded choice that depends on the ids alone, so that nobody can pick cherries."""
    candidates = sorted((row for row in rows if row.set != TRAPS), key=lambda row: row.id)
    return random.Random(seed).sample(candidates, min(most, len(candidates)))


def is_flip(row: QuestionRow) -> bool:
    """Whether one answer reaches half of the marks and the other does not."""
    if row.base is None or row.theobot is None:
        return False
    return (row.base.value >= _HALF) != (row.theobot.value >= _HALF)


def is_different(row: QuestionRow) -> bool:
    """Whether the answers earned different marks or, without marks, have different words."""
    if row.difference is None:
        return row.base_text != row.theobot_text
    return row.difference != 0


def _extreme(rows: Sequence[QuestionRow], most: int, sign: int) -> list[QuestionRow]:
    """Rows with a difference on the other side of zero than `sign`, largest first."""
    found = []
    for row in rows:
        change = sign * (row.difference or 0.0)
        if row.set != TRAPS and change < 0:
            found.append((change, -(row.marks or 0), row.id, row))
    return [row for *_, row in sorted(found, key=lambda entry: entry[:3])[:most]]
