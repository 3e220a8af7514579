"""Whether what is said of a question besides its text can be used: types, mark schemes, checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MOST_MARKS = 1000
"""For a question or a key point: more than any paper has, and few enough for a page of marks."""

_Text = Annotated[str, Field(min_length=1)]


class _KeyPoint(BaseModel):
    model_config = ConfigDict(strict=True)

    text: _Text
    marks: int = Field(ge=0, le=MOST_MARKS)
    accept: list[str] = []


class _Meta(BaseModel):
    """Entries that something here works with; others may be anything."""

    model_config = ConfigDict(strict=True)

    theme: str | None = None
    area: str | None = None
    topic: str | None = None
    cluster: str | None = None
    qtype: str | None = None
    series: str | None = None
    expected: str | None = None
    seen_ref: bool | None = None
    religions: list[str] | None = None
    traditions: list[str] | None = None
    key_points: list[_KeyPoint] | None = None


def meta_problems(meta: Mapping[str, Any]) -> list[str]:
    """What is wrong with the `meta` of a question, one sentence each."""
    # It knows scripture, for which readers of saved answers need not wait.
    from theobot.bench.scoring.checks import check_problems

    try:
        _Meta.model_validate(meta)
    except ValidationError as error:
        return [f"{problem}." for problem in _problems(error)]
    return check_problems(meta)


def marks_problem(marks: object) -> str | None:
    """What is wrong with a question's tariff, as a sentence; None if it can be used, or missing."""
    if marks is None or (type(marks) is int and 1 <= marks <= MOST_MARKS):
        return None
    # It may have thousands of digits.
    shown = "too large" if type(marks) is int and marks > MOST_MARKS else repr(marks)
    return f"marks is {shown}; a whole number from 1 to {MOST_MARKS} was expected."


def first_problem(error: ValidationError) -> str:
    """The first of pydantic's complaints, as part of a sentence."""
    return next(iter(_problems(error)))


def _problems(error: ValidationError) -> list[str]:
    return [
        ": ".join([".".join(map(str, one["loc"])), one["msg"]] if one["loc"] else [one["msg"]])
        for one in error.errors(include_url=False, include_input=False)
    ]
