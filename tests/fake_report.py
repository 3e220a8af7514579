"""A report as a benchmark of the shipped questions would give it; loaded by `runpy`.

Answers are made of the reference answers' own sentences, more of them where more marks were
"earned"; everything depends on the seed alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from theobot.bench.comparison import Comparison, compare, decide
from theobot.bench.questions import SETS, TRAPS, Question, read_questions
from theobot.bench.report.model import Light, QuestionRow, Report
from theobot.bench.scoring.scores import PointHit, Score
from theobot.bench.statistics import Interval, wilson

HOSTILE = (
    "<script>document.title = 'taken'</script> </script><!-- <script> &amp; "
    '" onmouseover="document.title=1 \x00\x1b[31mred\x1b[0m \u202egnp.exe \ud800 \u2028 end'
)
GAIN = {"in_domain": 0.14, "near_domain": 0.02, "out_of_domain": -0.005, TRAPS: 0.1}
SKILL = {"in_domain": 0.45, "near_domain": 0.55, "out_of_domain": 0.88, TRAPS: 0.3}
LINKS = ("Some would add that", "For example,", "However,", "In practice", "This means that")


def make_report(
    *,
    seed: int = 1,
    limit: int | None = None,
    words: int | None = None,
    gain: float = 1.0,
    bare: bool = False,
) -> Report:
    """A whole report.

    Args:
        seed: of everything random.
        limit: questions per set.
        words: length of every answer; without it about that of a good answer.
        gain: factor on the planted differences; 0 gives two equal arms.
        bare: as for a foreign folder without mark schemes: nothing is scored.
    """
    choose = random.Random(seed)
    asked = read_questions(None, limit)
    if bare:
        asked = [one._replace(marks=None, reference=None, meta={}) for one in asked]
    rows = [_row(question, choose, words, gain) for question in asked]
    clusters = {one.id: str(one.meta.get("cluster") or one.id) for one in asked}

    def group(name: str, found: Sequence[QuestionRow], exploratory: bool = True) -> Comparison:
        scored = [row for row in found if row.base and row.theobot]
        values = [[getattr(row, arm).value for row in scored] for arm in ("base", "theobot")]
        return compare(
            name,
            "share of the marks",
            *values,
            [clusters[row.id] for row in scored],
            margin=0.05,
            seed=seed,
            exploratory=exploratory,
        )

    primary = [group(name, [row for row in rows if row.set == name], False) for name in SETS]
    core = [row for row in rows if row.set == "in_domain"]
    themes = sorted({row.theme for row in core if row.theme})
    tariffs = sorted({row.marks for row in core if row.marks})
    decision = decide(primary[:1], primary[1:])
    return Report(
        title=f"Base and Theobot on {len(rows)} questions",
        created="2026-11-24T10:00:00+00:00",
        plan_status="planned",
        plan_changes=[],
        decision=decision,
        sets=primary,
        rows=rows,
        trust=_lights(),
        themes=[group(key, [row for row in core if row.theme == key]) for key in themes],
        tariffs=[
            group(f"{key:>2} mark{'s' * (key > 1)}", [row for row in core if row.marks == key])
            for key in tariffs
        ],
        secondary=[group("likeness to the reference (chrF), in-domain", core)],
        rates=[
            ("stopped by itself", wilson(371, 386), wilson(382, 386)),
            ("cut at the cap", wilson(12, 386), wilson(3, 386)),
            ("repeats itself", wilson(9, 386), wilson(4, 386)),
            ("invalid citations per answer that cites", wilson(21, 96), wilson(8, 104)),
        ],
        seen=[
            group("verse seen in training", [row for row in core if row.seen_ref is True]),
            group("verse not seen", [row for row in core if row.seen_ref is False]),
        ],
        traps=group("traps", [row for row in rows if row.set == TRAPS]),
        length_adjusted={
            "raw": Interval(0.14, 0.09, 0.19, 120),
            "adjusted": Interval(0.10, 0.05, 0.15, 120),
            "slope": 0.08,
            "words longer on average": 21.4,
        },
        drift={
            "kl": {"median": 0.0021, "90 %": 0.034, "99 %": 0.31, "largest": 1.9, "mean": 0.016},
            "top1": 0.961,
            "positions": 4096,
            "texts": 40,
        },
        noise={"questions": 20, "changed": 0, "changed_share": 0.0},
        leaks=[
            {"level": "same verse", "leak": False, "trained": "row 17", "asked": "A-scripture-01"}
        ],
        fingerprint={
            "base": "Qwen/Qwen2.5-7B-Instruct",
            "adapter (SHA-256)": "3f" * 32,
            "dtype": "bfloat16",
            "decoding: repetition_penalty": "1.0",
            "prompt template": "User: {question}\nAssistant:",
            "command": "theobot bench --run runs/first",
        },
        cannot_show=[
            "No teacher has marked these answers yet.",
            "Key points are found by their words: a right answer in other words can miss them.",
            "Themes and tariffs have few questions each; what they show is a hint, never a claim.",
        ],
        random_seed=10,
    )


def human_marks() -> dict[str, object]:
    """Marks in the form that `theobot mark close` writes, shortened."""
    return {
        "markers": 2,
        "withheld": False,
        "notes": ["Conclusions are for these two markers."],
        "mark": {
            "questions": 48,
            "tariffs": [{"tariff": 4, "n": 20, "base": 1.9, "theobot": 2.6}],
            "wrong": {"base": wilson(9, 48), "theobot": wilson(4, 48)},
            "scripture": {"base": wilson(12, 48), "theobot": wilson(5, 48)},
            "comparisons": [
                compare("in_domain", "marks", [0.2, 0.4, 0.5], [0.6, 0.6, 0.5], list("abc"),
                        margin=0.05, seed=1)
            ],
            "alpha": {"value": 0.81, "low": 0.7, "high": 0.88, "units": 24, "alike": False},
            "disagreements": [
                {"question_id": "A-define-01", "arm": "theobot", "tariff": 1,
                 "judged": {"M1": 1, "M2": 0}, "comments": {"M1": "Good <b>example</b>."}}
            ],
        },
        "prefer": {
            "questions": 40, "wins": 21, "losses": 11, "equal": 6, "poor": 2,
            "win_rate": wilson(21, 32), "left": {"left": wilson(17, 32), "p": 0.86},
        },
        "comments": [{"id": "A-define-01", "arm": "base", "text": "Too vague."}],
    }  # fmt: skip


def _row(question: Question, choose: random.Random, words: int | None, gain: float) -> QuestionRow:
    ability = min(max(choose.gauss(SKILL[question.set], 0.25), 0.02), 0.98)
    lift = gain * choose.gauss(GAIN[question.set], 0.12 if question.set == "in_domain" else 0.03)
    texts, scores = [], []
    for arm, share in (("base", ability), ("theobot", min(max(ability + lift, 0.0), 1.0))):
        # Both draw alike, so that pairs are alike, as those of one model are.
        same = random.Random(f"{question.id}{choose.random() if gain and lift > 0.2 else ''}")
        points = [
            _hit(point, same.random() < share) for point in question.meta.get("key_points") or ()
        ]
        text = _answer(question, points, random.Random(f"{arm}{question.id}"), words)
        texts.append(text)
        scores.append(_score(question, arm, points, text) if question.marks and points else None)
    difference = scores[1].value - scores[0].value if scores[0] and scores[1] else None
    cut = choose.random() < 0.02
    cited = [(one["ref"], "exists", "") for one in question.meta.get("citations") or ()]
    wrong = [("Matthew 29:1", "missing", "Matthew has 28 chapters.")] * (choose.random() < 0.03)
    texts[0] += "".join(f" See {ref}." for ref, *_ in wrong)
    return QuestionRow(
        question.id,
        question.set,
        question.meta.get("theme"),
        question.meta.get("qtype"),
        question.marks,
        question.text,
        question.reference,
        question.meta.get("seen_ref"),
        *texts,
        *scores,
        difference,
        ["base cut"] * cut + ["base cites what does not exist"] * bool(wrong),
        {"base": [*cited, *wrong], "theobot": cited},
    )


def _hit(point: dict, hit: bool) -> PointHit:
    accepted = (point.get("accept") or [point["text"]])[0]
    return PointHit(point["text"], point["marks"], hit, accepted if hit else "")


def _score(question: Question, arm: str, points: list[PointHit], text: str) -> Score:
    earned = min(question.marks, sum(point.marks for point in points if point.hit))
    return Score(question.id, question.set, arm, "key_points", earned / question.marks,
                 question.marks, tuple(points), len(text.split()), "")  # fmt: skip


def _answer(
    question: Question, points: list[PointHit], choose: random.Random, words: int | None
) -> str:
    found = [point.found for point in points if point.hit]
    sentences = re.split(r"(?<=[.!?])\s+", question.reference or "It depends on what is meant.")
    said = [f"{choose.choice(LINKS)} {words_found}." for words_found in found]
    said += choose.sample(sentences, max(1, len(sentences) // 2))
    choose.shuffle(said)
    text = " ".join(said)
    while words is not None and len(text.split()) < words:
        text += f" {choose.choice(LINKS)} {choose.choice(sentences)}"
    return " ".join(text.split()[:words])


def _lights() -> list[Light]:
    return [
        Light("Plan", "good", "Metrics, margins and seeds were fixed before the first answer."),
        Light("Leaks", "good", "No question or reference answer stands in the training rows."),
        Light("Adapter", "good", "The adapter changes the model: a logit by up to 8.31."),
        Light("Noise", "good", "Asked twice, the base changed 0.0% of its answers."),
        Light("Complete pairs", "good", "386 of 386 questions have both answers."),
        Light("Cut answers", "warn", "At most 3.1% of a set's answers were cut at their cap."),
        Light("Teachers' marks", "unknown", "Automatic score, not yet checked against a teacher."),
    ]  # fmt: skip
