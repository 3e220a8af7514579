"""What a benchmark will claim, fixed before the first answer: metrics, margins, seeds, hashes.

`plan.json` is written before anything is answered, and its hash is kept beside the answers. A plan
that was changed afterwards is still obeyed, but the report says so.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from theobot import __version__
from theobot.bench.answers import ANSWERS_OF_ANY
from theobot.bench.questions import SETS, SIDECAR, TRAPS, shipped_questions
from theobot.bench.statistics import LEVEL
from theobot.config import Section
from theobot.errors import DataError
from theobot.run_folder import explain_write_errors, write_text

PLAN = "plan.json"
FIXED = "plan.sha256"
"""The plan's hash when the first answer was written."""

_LEFT_OPEN = frozenset({"questions", "data", "base", "adapter", "against"})
"""What a plan may leave for the benchmark to fill in."""

Hypothesis = Literal["better", "not_worse"]


class SetPlan(Section):
    """What is claimed of one set of questions."""

    hypothesis: Hypothesis
    """Theobot is better than the base, or not worse by the margin."""
    margin: float = Field(0.05, gt=0, lt=1)
    """The largest loss that is taken for harmless, as a share of the marks."""
    metric: Literal["score"] = "score"
    """Key points, multiple choice or checked answers, whichever a question has."""


class BenchPlan(Section):
    """A plan; hashes are None until they are known, and known before the first answer."""

    created: str
    """When, in UTC."""
    in_domain: SetPlan = SetPlan(hypothesis="better")
    """The six themes."""
    near_domain: SetPlan = SetPlan(hypothesis="not_worse")
    """Religion and ethics beside them."""
    out_of_domain: SetPlan = SetPlan(hypothesis="not_worse")
    """Everything else: what must not be damaged."""
    level: float = LEVEL
    """Confidence of the intervals; no other is there."""
    sign_flip_seed: int = 20_260_101
    """Of the sign flips behind p values."""
    random_ten_seed: int = 10
    """Of the ten questions that the report shows whatever came out."""
    noise_questions: int = Field(20, ge=0)
    """How many questions the base answers twice, to see what chance alone changes."""
    truncation_limit: float = Field(0.05, ge=0, le=1)
    """Share of answers cut at their cap above which no verdict is given for a set."""
    missing_limit: float = Field(0.02, ge=0, le=1)
    """Share of questions without both answers above which no verdict is given."""
    limit: int | None = None
    """Most questions of each set."""
    same_prompt: bool = False
    """Both get the seed's raw prompt."""
    questions: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of each question file."""
    data: str | None = None
    """Fingerprint of the training rows, where they are known."""
    base: str | None = None
    """The base model."""
    adapter: str | None = None
    """SHA-256 of the adapter's weights."""
    against: str | None = None
    """What it is compared with: the name of a `Rival`, or the hash of another adapter."""
    code: str = ""
    """Version of Theobot and, in a checkout, its commit."""

    @field_validator("level")
    @classmethod
    def _only(cls, value: float) -> float:
        if value != LEVEL:
            raise ValueError(f"{LEVEL} was expected; margins are what a plan may make stricter")
        return value

    def sha256(self) -> str:
        """Hash of all but the time: the same plan made twice is the same plan."""
        # Plans of earlier versions know nothing of `against`, and keep their hash.
        left_out = {"created", *(["against"] if self.against is None else [])}
        return hashlib.sha256(self.model_dump_json(exclude=left_out).encode()).hexdigest()


def make_plan(folder: Path | None = None, **facts: Any) -> BenchPlan:
    """The default plan for a folder of question files.

    Args:
        folder: of the question files; by default the shipped ones.
        facts: fields of the plan that are known already.
    """
    return BenchPlan(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        questions=hash_questions(folder),
        code=code_version(),
        **facts,
    )


def hash_questions(folder: Path | None = None) -> dict[str, str]:
    """SHA-256 of each question file and of the mark schemes beside them."""
    place = (folder or shipped_questions()).expanduser()
    names = [*(f"{name}_questions.txt" for name in (*SETS, TRAPS)), SIDECAR]
    return {
        name: hashlib.sha256((place / name).read_bytes()).hexdigest()
        for name in names
        if (place / name).is_file()
    }


def code_version() -> str:
    """Version, and the commit where this is a git checkout."""
    here = Path(__file__)
    try:
        # An environment may lie inside another project; the commit of that would say nothing.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return f"{__version__} ({_git(here.parent, 'describe', '--always', '--dirty')})"
    except (OSError, subprocess.SubprocessError):
        return __version__


def _git(folder: Path, *words: str) -> str:
    command = ["git", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=5, check=True
    ).stdout.strip()


def write_plan(plan: BenchPlan, path: Path) -> None:
    """Write a plan as readable JSON."""
    with explain_write_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, plan.model_dump_json(indent=2) + "\n")


def read_plan(path: Path) -> BenchPlan:
    """Read a plan.

    Raises:
        DataError: no such file, or it is no plan.
    """
    try:
        return BenchPlan.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file. `theobot bench plan -o {path}` makes one."
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, one['loc'])) or 'the file'}: "
            f"{one['msg'].removeprefix('Value error, ')}."
            for one in error.errors()
        ]
        raise DataError(problems) from None


def complete_plan(plan: BenchPlan, facts: Mapping[str, Any]) -> BenchPlan:
    """The plan with the hashes that it left open."""
    known = {
        key: value for key, value in facts.items() if getattr(plan, key) in (None, {}, "") and value
    }
    return plan.model_copy(update=known)


def differences(plan: BenchPlan, facts: Mapping[str, Any]) -> list[str]:
    """What is not as planned, a sentence each.

    Args:
        plan: the plan.
        facts: fields of the plan as they are now; None is unknown and not compared.
    """
    found = []
    for key, value in facts.items():
        planned = getattr(plan, key)
        still_open = key in _LEFT_OPEN and planned in (None, {})
        if value is None or planned == value or still_open:
            continue
        if isinstance(planned, dict):
            names = [name for name in {**planned, **value} if planned.get(name) != value.get(name)]
            found.append(f"{key}: {', '.join(sorted(names))} changed")
        else:
            found.append(f"{key}: planned {_short(planned)}, now {_short(value)}")
    return found


def settle_plan(
    folder: Path,
    facts: dict[str, Any],
    questions: Path | None,
    limit: int | None,
    same_prompt: bool,
) -> tuple[BenchPlan, list[str]]:
    """The plan of a folder, made or completed before the first answer; and what differs from it.

    Once answers were seen the plan's own limit and prompts are kept, whatever is asked for.

    Raises:
        DataError: no answer was seen yet, and the plan was made for something else.
    """
    path, seen = folder / PLAN, answers_seen(folder)
    if not path.exists():
        plan = make_plan(questions, limit=limit, same_prompt=same_prompt)
    else:
        plan = read_plan(path)
        if seen:
            return plan, differences(plan, facts)
        typed = {"limit": limit, "same_prompt": same_prompt or None}
        changes = differences(plan, facts | typed)
        if changes:
            raise DataError(
                [f"{path}: {change}." for change in changes]
                + ["Make a new one with `theobot bench plan`, or delete it to take the default."]
            )
    return complete_plan(plan, facts), []


def answers_seen(folder: Path) -> bool:
    """Whether anything was answered yet; what was set aside has been seen as well."""
    return any(folder.glob(ANSWERS_OF_ANY))


def overruled(path: Path, plan: BenchPlan, limit: int | None, same_prompt: bool) -> list[str]:
    """What was asked for otherwise than the plan has it, a sentence each.

    Args:
        path: of the plan.
        plan: which is kept.
        limit: most questions of each set that were asked for; None for all.
        same_prompt: whether the seed's raw prompt for both was asked for.
    """
    found = []
    if limit != plan.limit:
        kept = "all" if plan.limit is None else f"at most {plan.limit}"
        wanted = "all of them" if limit is None else "another number"
        found.append(f"{path} asks {kept} questions of each set. For {wanted} type -o NEW_FOLDER.")
    if same_prompt != plan.same_prompt:
        kept = "both in the seed's raw prompt" if plan.same_prompt else "each in its own prompt"
        found.append(f"{path} asks {kept}. For the other way type -o NEW_FOLDER.")
    return found


def fix_plan(folder: Path, plan: BenchPlan, seen: bool = True) -> None:
    """Keep the plan's hash at the moment of the first answer; later calls change nothing.

    Args:
        folder: of the benchmark.
        plan: as it is now.
        seen: whether the folder may hold answers. Until the first the plan may be replaced.
    """
    if not seen or not (folder / FIXED).exists():
        write_text(folder / FIXED, plan.sha256() + "\n")


def changed_since_first_answer(folder: Path, plan: BenchPlan) -> bool:
    """Whether the plan is another than when the first answer was written, or none was fixed."""
    try:
        return (folder / FIXED).read_text(encoding="utf-8").strip() != plan.sha256()
    except (OSError, ValueError):
        return True


def planned_sets(plan: BenchPlan) -> Sequence[tuple[str, SetPlan]]:
    """The three sets in their order, each with what is claimed of it."""
    return [(name, getattr(plan, name)) for name in SETS]


def _short(value: object) -> str:
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 20 else f"{text[:12]}..."
