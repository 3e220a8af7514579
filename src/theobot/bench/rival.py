"""What Theobot is compared with, and what both are called wherever a person reads of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from theobot.generation.generator import SCRIPTURE, Arm


class Rival(NamedTuple):
    """What answers as the arm "base".

    Args:
        name: within a sentence, such as "the base".
        headings: of the arms, in tables and files.
    """

    name: str
    headings: Mapping[Arm, str]


BASE = Rival("the base", {"base": "Base", "theobot": "Theobot"})
OTHER_ADAPTER = Rival("the other adapter", {"base": "Other adapter", "theobot": "Theobot"})
WITHOUT_VERSES = Rival(
    "Theobot without the verses", {"base": "Without verses", "theobot": "With verses"}
)


def rival_of(about: Mapping[str, Any]) -> Rival:
    """The rival of answers that were given so.

    Args:
        about: what decides answers, as `Generator.describe` tells it and every record keeps it.
    """
    if SCRIPTURE in about["decoding"]:
        return WITHOUT_VERSES
    return OTHER_ADAPTER if about["against_sha256"] else BASE
