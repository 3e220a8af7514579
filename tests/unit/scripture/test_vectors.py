"""Vectors labelled by somebody who has not read the code: precision and recall of existence."""

import hashlib
import json
from pathlib import Path

import pytest

from theobot.scripture import find_citations

VECTORS = Path(__file__).with_name("vectors.jsonl")
SHA256: str | None = "c870f119c62aabbbeda1815e89f57a61754ba8d9688b22b2f59b51d08185fc38"
BAR = 0.99
SAME = {
    "catechism": "ccc",
    "humanae_vitae": "document",
    "quran": "quran",
    "qur'an": "quran",
    "sikh": "ggs",
    "pali_canon": "pali",
}


def load() -> list[dict]:
    return [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines() if line]


def test_the_vectors_are_the_frozen_ones():
    if SHA256 is None:
        pytest.skip("the vectors are not frozen yet")
    assert hashlib.sha256(VECTORS.read_bytes()).hexdigest() == SHA256
    assert len(load()) >= 400


def score() -> tuple[int, int, int, list[str]]:
    """Count citations judged rightly, those said, those labelled; and tell each disagreement.

    A label and what is found belong together where their spans overlap in the same corpus; a label
    over a list ("Romans 12:17-18, 21") is right when all its parts together say the same.
    """
    right = said = labelled = 0
    wrong = []
    for vector in load():
        text, at = vector["text"], 0
        citations = find_citations(text)
        used = set()
        for label in vector["citations"]:
            start = text.find(label["span_text"], at)
            start = text.find(label["span_text"]) if start < 0 else start
            end = at = start + len(label["span_text"])
            corpus = SAME.get(label["corpus"], label["corpus"])
            mine = [one for one in citations if one.start < end and start < one.end]
            used.update(mine)
            labelled += 1
            exists = "missing" if any(one.status == "missing" for one in mine) else "there"
            expected = "missing" if label["status"] == "missing" else "there"
            if mine and exists == expected and all(one.corpus == corpus for one in mine):
                right += 1
                said += 1
            else:
                said += bool(mine)
                got = [(one.text, one.corpus, one.status.value, one.reason) for one in mine]
                wrong.append(f"{text!r}: {label} but found {got}")
        for extra in citations:
            if extra not in used:
                said += 1
                wrong.append(
                    f"{text!r}: found {extra.text!r} ({extra.status.value}), labelled none"
                )
    return right, said, labelled, wrong


def test_precision_and_recall_of_existence():
    right, said, labelled, wrong = score()
    told = "\n".join(wrong)
    assert right / said >= BAR, f"precision {right}/{said}\n{told}"
    assert right / labelled >= BAR, f"recall {right}/{labelled}\n{told}"
