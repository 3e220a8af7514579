"""The marking page: one HTML file that needs no network, with everything one marker will see.

The file must not say which answer is whose. It holds questions, mark schemes and answers under
random ids: no name of a model or arm, no length, no time, no key, and not the name of this program.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel

from theobot.bench.marking.entries import FORMAT
from theobot.bench.marking.guides import UNMARKED, VARIANTS, guide_for
from theobot.bench.marking.sample import Card, Mode
from theobot.bench.questions import Question


def page_data(
    session: str,
    marker: str,
    mode: Mode,
    cards: Sequence[Card],
    questions: Mapping[str, Question],
    texts: Mapping[str, str],
) -> dict[str, Any]:
    """What the page's script works with, as JSON-able data.

    Args:
        session: id of the session.
        marker: alias.
        mode: of marking.
        cards: what is shown, in order.
        questions: by item id.
        texts: of the answers, by answer id.
    """
    return {
        "format": FORMAT,
        "session": session,
        "marker": marker,
        "mode": mode,
        "server": False,
        "saved": [],
        "cards": [_card(card, questions[card.item], texts, mode) for card in cards],
    }


def render_page(
    data: Mapping[str, Any], entries: Sequence[BaseModel] = (), server: bool = False
) -> str:
    """The whole page.

    Args:
        data: from `page_data`.
        entries: what this marker saved before.
        server: whether the page sends its marks to the server that it came from.
    """
    whole = {**data, "server": server, "saved": [entry.model_dump() for entry in entries]}
    # The data last: an answer may hold anything, a placeholder too.
    parts = {
        "policy": content_policy(server),
        "style": page_part("css"),
        "script": page_part("js"),
        "data": embedded_json(whole),
    }
    page = page_part("html")
    for name, text in parts.items():
        head, mark, tail = page.partition(f"{{{{{name}}}}}")
        assert mark, f"mark.html has no place for {name}"
        page = head + text + tail
    return page


def content_policy(server: bool) -> str:
    """The page may run its own script and style, and talk to nobody but its own server.

    A file has no other origin to protect, and `base-uri` would put the name of an arm into it.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": _digest(page_part("js")),
        "style-src": _digest(page_part("css")),
        "img-src": "data:",
        "form-action": "'none'",
    }
    if server:
        allowed["connect-src"] = "'self'"
    return "; ".join(f"{name} {source}" for name, source in allowed.items())


def embedded_json(value: object) -> str:
    """JSON that no HTML parser can take for markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def page_part(kind: Literal["html", "css", "js"]) -> str:
    """A part of the page as it is shipped."""
    return (files("theobot.bench.marking") / "page" / f"mark.{kind}").read_text(encoding="utf-8")


def _card(card: Card, question: Question, texts: Mapping[str, str], mode: Mode) -> dict[str, Any]:
    shown = [card.left] if card.right is None else [card.left, card.right]
    guide = guide_for(question)
    points = [
        {
            "text": str(point.get("text", "")),
            "marks": point.get("marks", 1),
            "accept": [str(text) for text in point.get("accept") or []][:VARIANTS],
        }
        for point in question.meta.get("key_points") or []
        if isinstance(point, dict)
    ]
    return {
        "id": card.id,
        "question": question.text,
        "marks": question.marks or UNMARKED,
        "guide": guide._asdict() if guide and mode == "mark" else None,
        "points": points,
        # A model answer besides would invite to mark the likeness of style.
        "reference": None if points else question.reference,
        "tradition": bool(question.meta.get("traditions") or question.meta.get("religions")),
        "answers": [texts[answer].strip() for answer in shown],
    }


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
