"""Which questions are marked, by whom, in which order and on which side each answer stands.

The sample depends on the seed. Order and sides depend on the secret of the session, so that
nobody who knows the seed knows which answer is whose.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from theobot.bench.questions import Question, spread

Mode = Literal["mark", "prefer"]
MODES: tuple[Mode, ...] = ("mark", "prefer")

QUOTAS = {"in_domain": 36, "near_domain": 12, "out_of_domain": 12}
"""Questions of the default sample: six per theme, and twelve of each other set."""
SHARED = 12
"""Questions that every marker after the first gets, the same ones for all."""
_REPEATS = 10
"""One in so many questions is shown again, to see whether a marker agrees with themselves."""
_BLOCK = 4
_NAMES = re.compile(r"\b(theobot|qwen|alibaba|llama|gemma|mistral|deepseek)", re.IGNORECASE)


class Pair(NamedTuple):
    """Both answers to a question, under random ids: the base's, then Theobot's.

    `alike`: the texts are the same, so that there is nothing to judge.
    """

    item: str
    answers: tuple[str, str]
    alike: bool


class Card(NamedTuple):
    """Something that a marker is shown once.

    Args:
        id: random.
        item: of which question.
        left: the answer shown, or the one shown left.
        right: the one shown right; None where one answer is marked alone.
        order: from 0.
        repeats: id of the card that this one repeats.
    """

    id: str
    item: str
    left: str
    right: str | None
    order: int
    repeats: str | None


class _Face(NamedTuple):
    item: str
    left: str
    right: str | None


def choose_questions(
    questions: Sequence[Question], sample: int | None, seed: int
) -> list[Question]:
    """Draw the questions to mark: spread over themes or areas, then over question types.

    Args:
        questions: those that both arms answered, in any order.
        sample: how many in all, shared among the sets as 36 : 12 : 12; None for these numbers.
            A set that is smaller gives all it has.
        seed: of the draw.
    """
    choose = random.Random(seed)
    chosen: list[Question] = []
    for name, quota in _shares(sample).items():
        pool = sorted((question for question in questions if question.set == name), key=_id)
        choose.shuffle(pool)
        chosen.extend(spread([_with_stratum(question) for question in pool], quota))
    ids = {question.id for question in chosen}
    return [question for question in questions if question.id in ids]


def names_its_model(text: str) -> bool:
    """Whether an answer says who wrote it, which no blinding can hide."""
    return _NAMES.search(text) is not None


def deal(
    pairs: Sequence[Pair], secret: bytes, marker: str, mode: Mode, only: Sequence[str] | None = None
) -> list[Card]:
    """Everything one marker will see, in order.

    In mode "prefer" a card holds both answers. In mode "mark" it holds one: the marker goes through
    all questions once, and then through all again with the other answers, so that a good answer
    does not make its neighbour look worse. What stands left, or comes first, is the same arm in
    two of every four questions. One in ten questions is shown again with the sides swapped.

    Args:
        pairs: the sample; answers that are alike are not shown.
        secret: of the session.
        marker: who will mark.
        mode: of marking.
        only: items to which this marker is limited.
    """
    token = partial(random_id, secret, f"{marker}|{mode}")
    shown = [pair for pair in pairs if not pair.alike and (only is None or pair.item in only)]
    shown.sort(key=lambda pair: token(f"order|{pair.item}"))
    sides = _sides(shown, token)
    # Repeats are of questions from the first half, so that there is time to forget them.
    early = sorted(shown[: (len(shown) + 1) // 2], key=lambda pair: token(f"again|{pair.item}"))
    again = [pair.item for pair in early[: len(shown) // _REPEATS]]
    if mode == "prefer":
        faces = [_Face(pair.item, *sides[pair.item]) for pair in shown]
        repeated = {_Face(item, *sides[item]): _Face(item, *sides[item][::-1]) for item in again}
    else:
        faces = [_Face(pair.item, sides[pair.item][0], None) for pair in shown]
        faces += [_Face(pair.item, sides[pair.item][1], None) for pair in _jumbled(shown, token)]
        both = [_Face(item, answer, None) for item in again for answer in sides[item]]
        repeated = {face: face for face in both}
    return _in_order(faces, repeated, token)


def shared_items(pairs: Sequence[Pair], questions: Mapping[str, Question], seed: int) -> list[str]:
    """The items that every marker gets: twelve that have something to judge, spread over sets.

    Args:
        pairs: the sample.
        questions: question of each item.
        seed: of the draw.
    """
    by_id = {questions[pair.item].id: pair.item for pair in pairs if not pair.alike}
    chosen = choose_questions(
        [question for question in questions.values() if question.id in by_id], SHARED, seed
    )
    rest = [item for item in by_id.values() if item not in {by_id[q.id] for q in chosen}]
    # Where a set is small, others fill its places, since agreement needs its twelve.
    return ([by_id[question.id] for question in chosen] + rest)[:SHARED]


def random_id(secret: bytes, *parts: str) -> str:
    """Twelve hexadecimal digits that say nothing to who does not know the secret."""
    return hmac.new(secret, "|".join(parts).encode(), hashlib.sha256).hexdigest()[:12]


def _shares(sample: int | None) -> dict[str, int]:
    """Largest remainders of 36 : 12 : 12."""
    if sample is None:
        return dict(QUOTAS)
    total = sum(QUOTAS.values())
    shares = {name: sample * quota // total for name, quota in QUOTAS.items()}
    by_rest = sorted(QUOTAS, key=lambda name: -(sample * QUOTAS[name] % total))
    for name in by_rest[: sample - sum(shares.values())]:
        shares[name] += 1
    return shares


def _id(question: Question) -> str:
    return question.id


def _with_stratum(question: Question) -> Question:
    """Near and out of the domain there are areas in the place of themes."""
    stratum = question.meta.get("theme") or question.meta.get("area")
    return question._replace(meta={**question.meta, "theme": stratum})


def _sides(shown: Sequence[Pair], token: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """For each item the answer that comes left or first, then the other; balanced in fours."""
    sides = {}
    for start in range(0, len(shown), _BLOCK):
        block = sorted(shown[start : start + _BLOCK], key=lambda pair: token(f"side|{pair.item}"))
        # An odd last block leans to one side; to which one is as random as the rest.
        lean = int(token(f"lean|{start}"), 16)
        for place, pair in enumerate(block):
            one, other = pair.answers
            sides[pair.item] = (one, other) if (place + lean) % 2 else (other, one)
    return sides


def _jumbled(shown: Sequence[Pair], token: Callable[[str], str]) -> list[Pair]:
    """Nearly the same order, shuffled in fours: nobody meets a question twice in a short time."""
    order: list[Pair] = []
    for start in range(0, len(shown), _BLOCK):
        block = shown[start : start + _BLOCK]
        order += sorted(block, key=lambda pair: token(f"second|{pair.item}"))
    return order


def _in_order(
    faces: Sequence[_Face], repeated: Mapping[_Face, _Face], token: Callable[[str], str]
) -> list[Card]:
    """Cards with ids: the repeats are scattered over the last third, well behind their originals.

    Args:
        faces: what is shown first, in order.
        repeated: for some of them, what is shown again.
        token: random digits for a name.
    """
    cards = {face: Card(token(f"card|{face}"), *face, 0, None) for face in faces}
    places = [(float(place), card) for place, card in enumerate(cards.values())]
    total = len(places)
    for place, (face, card) in enumerate(cards.items()):
        if face in repeated:
            behind = max(place + total / 4, total * 2 / 3)
            share = int(token(f"place|{face}"), 16) / 16**12
            again = Card(token(f"repeat|{face}"), *repeated[face], 0, card.id)
            places.append((behind + share * max(total - behind, 0), again))
    places.sort(key=lambda at: at[0])
    return [card._replace(order=order) for order, (_, card) in enumerate(places)]
