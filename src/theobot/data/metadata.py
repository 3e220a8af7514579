"""Whether a row's metadata fits its text and the set's scheme (docs/data.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from theobot.curriculum.question_types import QUESTION_TYPES
from theobot.curriculum.shares import RELIGION_SHARES, THEMES
from theobot.data.examples import Example
from theobot.data.findings import Finding, warning

_MARKS = re.compile(r"\[(\d{1,2}) marks?\]")
_LAW = re.compile(r"\b(?:Act (?:of )?(?:18|19|20)\d\d|(?:in|under) (?:English|UK|British) law)\b")
_RELIGIONS = {name for name in RELIGION_SHARES if name != "comparative"}


def check_metadata(example: Example) -> Iterator[Finding]:
    """What does not fit; a row without metadata has nothing to fit."""
    meta, where = example.meta, example.where
    if not meta:
        return
    for key, known in (("theme", THEMES), ("qtype", QUESTION_TYPES)):
        if meta.get(key) is not None and meta[key] not in known:
            names = ", ".join(known)
            yield warning(where, "metadata", f"meta.{key} is {meta[key]!r}; expected: {names}.")
    for name in meta.get("religions") or []:
        if name not in _RELIGIONS:
            names = ", ".join(sorted(_RELIGIONS))
            yield warning(where, "metadata", f"meta.religions has {name!r}; expected: {names}.")
    marks = _MARKS.search(example.prompt)
    if marks and meta.get("marks") not in (None, int(marks[1])):
        yield warning(
            where, "metadata", f"the prompt gives {marks[1]} marks, meta.marks {meta['marks']}."
        )
    kind = QUESTION_TYPES.get(str(meta.get("qtype")))
    if kind and kind.discusses and len(meta.get("views") or []) < 2:
        yield warning(where, "one_view", "meta.views has fewer than two views for a discussion.")
    if _LAW.search(example.completion) and not meta.get("as_of"):
        yield warning(where, "metadata", "states the law, but meta.as_of has no date.")
