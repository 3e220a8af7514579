"""The session of a blind marking: its sample, its key, and what each marker is dealt."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from theobot.bench.answers import ANSWERS, AnswerRecord, read_answers, text_hash
from theobot.bench.marking.guides import UNMARKED
from theobot.bench.marking.pack import page_data
from theobot.bench.marking.sample import (
    QUOTAS,
    Mode,
    Pair,
    choose_questions,
    deal,
    names_its_model,
    random_id,
    shared_items,
)
from theobot.bench.marking.store import Item, Marker, MarksStore, Session
from theobot.bench.questions import Question, parse_saved_questions
from theobot.errors import RunError, SettingsError
from theobot.generation.generator import ARMS, Arm
from theobot.run_folder import explain_write_errors, read_json

FOLDER = "marking"
STORE = "marks.sqlite"
KEY = "blind_key.json"


class Key(NamedTuple):
    """What must not be known before closing: question and arm of each answer's id."""

    session: str
    secret: bytes
    answers: dict[str, tuple[str, Arm]]


_KEYS = TypeAdapter(dict[str, tuple[str, Arm]])


class Answered(NamedTuple):
    """A benchmark's questions that both arms answered, and the answers by question and arm."""

    questions: list[Question]
    texts: dict[tuple[str, str], str]
    plan: str


def open_session(folder: Path, sample: int | None = None, seed: int | None = None) -> MarksStore:
    """The marks of this benchmark; the session is begun where there is none.

    Args:
        folder: of the benchmark.
        sample: as in `pack`.
        seed: as in `pack`.

    Raises:
        TheobotError: as in `pack`.
    """
    answered = _read_answered(folder)
    place = folder / FOLDER
    with explain_write_errors(place):
        place.mkdir(exist_ok=True)
    store = MarksStore(place / STORE, create=True)
    try:
        # Looked at and begun in one: of two processes that start at once the second finds it begun.
        with store.transaction():
            if store.session() is None:
                _begin(store, place / KEY, answered, sample, seed)
        session = begun(store)
        _refuse_other(session, sample, seed)
        _refuse_changed(store, read_key(folder, session), answered)
    except BaseException:
        store.close()
        raise
    return store


def assigned_page(folder: Path, store: MarksStore, alias: str, mode: Mode) -> dict[str, Any]:
    """What the page of a marker shows; cards are dealt the first time.

    Args:
        folder: of the benchmark.
        store: with the session begun.
        alias: of the marker, new or not.
        mode: of marking.

    Raises:
        RunError: nothing was assigned before the session was closed.
    """
    session, answered = begun(store), _read_answered(folder)
    key = read_key(folder, session)
    items = store.items()
    by_id = {question.id: question for question in answered.questions}
    questions = {item.id: by_id[item.question_id] for item in items}
    with store.transaction():
        marker = _marker(store, alias)
        if not store.cards(marker.alias, mode):
            if session.closed is not None:
                raise RunError(
                    f"{store.path}: closed on {session.closed[:10]}, so that new marks would not "
                    f"be blind. Delete {store.path.parent} to begin anew with another sample."
                )
            pairs = _pairs(items, key)
            only = None if marker.role == "all" else shared_items(pairs, questions, session.seed)
            store.assign(marker, mode, deal(pairs, key.secret, marker.alias, mode, only))
    texts = {answer: answered.texts[place] for answer, place in key.answers.items()}
    cards = store.cards(marker.alias, mode)
    return page_data(session.id, marker.alias, mode, cards, questions, texts)


def read_key(folder: Path, session: Session) -> Key:
    """The key of a session.

    Raises:
        RunError: it is missing, damaged, or of another session.
    """
    path = folder / FOLDER / KEY
    raw = read_json(path)
    try:
        answers = _KEYS.validate_python(raw["answers"])
        key = Key(str(raw["session"]), bytes.fromhex(raw["secret"]), answers)
    except (KeyError, TypeError, ValueError):
        key = None
    if key is None or key.session != session.id:
        raise RunError(
            f"{path}: not the key of this session. Restore it; or delete {path.parent} to begin "
            "anew, without the marks."
        )
    return key


def slug(alias: str) -> str:
    """The name of a marker as part of a file name; two that share it are one marker."""
    return re.sub(r"[^\w]+", "-", alias.casefold()).strip("-")


def _read_answered(folder: Path) -> Answered:
    """Only the questions of the three sets to which both arms have an answer."""
    records = read_answers(folder / ANSWERS)
    texts: dict[tuple[str, str], str] = {(one.id, one.arm): one.text for one in records}
    both = [
        question
        for question in read_questions_of(folder, records)
        if question.set in QUOTAS and all((question.id, arm) in texts for arm in ARMS)
    ]
    if not both:
        raise RunError(
            f"{folder}: no question was answered by both arms yet. Finish `theobot bench` first."
        )
    return Answered(both, texts, records[0].plan)


def read_questions_of(
    folder: Path, records: Sequence[AnswerRecord] | None = None
) -> list[Question]:
    """As the benchmark saved them, else what its answers say of them."""
    path = folder / "questions.jsonl"
    try:
        return parse_saved_questions(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = records if records is not None else read_answers(folder / ANSWERS)
        known = {one.id: Question(one.id, one.set, one.question, None, None, {}) for one in found}
        return list(known.values())
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}). `theobot bench` writes it anew.") from None


def _begin(
    store: MarksStore, key_path: Path, answered: Answered, sample: int | None, seed: int | None
) -> None:
    """Draw the sample, write the key, then the session: what is cut off between begins anew."""
    if seed is None:
        seed = secrets.randbelow(2**31)
    named = {place[0] for place, text in answered.texts.items() if names_its_model(text)}
    open_to_all = [question for question in answered.questions if question.id not in named]
    chosen = choose_questions(open_to_all, sample, seed)
    texts = answered.texts
    if all(texts[q.id, "base"].strip() == texts[q.id, "theobot"].strip() for q in chosen):
        raise RunError(
            f"{key_path.parent.parent}: of {len(chosen)} drawn questions none has two different "
            "answers that can be marked blind. Draw more with --sample."
        )
    left_out = len(answered.questions) - len(open_to_all)
    session = Session(
        secrets.token_hex(8),
        datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        None,
        answered.plan,
        seed,
        sample,
        left_out,
    )
    secret = secrets.token_bytes(32)
    items, answers, hashes = [], {}, {}
    for question in chosen:
        item = random_id(secret, "item", question.id)
        both = [texts[question.id, arm] for arm in ARMS]
        for arm, text in zip(ARMS, both, strict=True):
            answer = random_id(secret, "answer", question.id, arm)
            answers[answer] = (question.id, arm)
            hashes[answer] = (item, text_hash(text))
        items.append(
            Item(
                item,
                question.id,
                question.set,
                question.meta.get("theme"),
                question.marks or UNMARKED,
                str(question.meta.get("cluster") or question.id),
                both[0].strip() == both[1].strip(),
            )
        )
    _write_key(key_path, Key(session.id, secret, answers))
    store.begin(session, items, hashes)


def _write_key(path: Path, key: Key) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    text = json.dumps({**key._asdict(), "secret": key.secret.hex()}, indent=2)
    temporary = path.with_name(f".{path.name}.tmp")
    with explain_write_errors(path):
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _refuse_other(session: Session, sample: int | None, seed: int | None) -> None:
    asked = {"--sample": (sample, session.sample), "--seed": (seed, session.seed)}
    problems = [
        f"{flag} {new}: this marking was begun with {'the default' if old is None else old}. Leave "
        f"the flag out, or delete the folder {FOLDER} to begin anew, without its marks."
        for flag, (new, old) in asked.items()
        if new is not None and new != old
    ]
    if problems:
        raise SettingsError(problems)


def _refuse_changed(store: MarksStore, key: Key, answered: Answered) -> None:
    hashes = store.answer_hashes()
    for answer, place in key.answers.items():
        if place not in answered.texts or text_hash(answered.texts[place]) != hashes.get(answer):
            raise RunError(
                f"{store.path}: the answers have changed since the marking began (the first is "
                f"{place[0]}). Restore them; or delete {store.path.parent} to begin anew, without "
                "its marks."
            )


def refuse_other_answers(folder: Path, store: MarksStore) -> None:
    """Stop where the folder's answers are no longer those that were handed out.

    Raises:
        RunError: they are others; or key or answers cannot be read.
    """
    _refuse_changed(store, read_key(folder, begun(store)), _read_answered(folder))


def begun(store: MarksStore) -> Session:
    """The session of a store.

    Raises:
        RunError: there is none.
    """
    session = store.session()
    if session is None:
        raise RunError(f"{store.path}: no session yet. Begin with `theobot mark pack DIR`.")
    return session


def _marker(store: MarksStore, alias: str) -> Marker:
    """The marker of that name, or a new one: the first marks all, the others what is shared."""
    known = store.markers()
    for marker in known:
        if slug(marker.alias) == slug(alias):
            return marker
    return Marker(alias, "shared" if known else "all")


def _pairs(items: Sequence[Item], key: Key) -> list[Pair]:
    ids = {place: answer for answer, place in key.answers.items()}
    return [
        Pair(item.id, (ids[item.question_id, "base"], ids[item.question_id, "theobot"]), item.alike)
        for item in items
    ]
