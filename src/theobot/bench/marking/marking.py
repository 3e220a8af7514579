"""Blind marking: draw a sample, hand it out without names, collect the marks, open the key.

Below the benchmark's folder lie:

    marking/marks.sqlite     who marks what, and every mark; says nothing of whose answer is whose
    marking/packs/*.html     one page per marker, to be sent to them
    marking/blind_key.json   which answer is whose; readable by its owner alone, and not to be sent
    marks.json               what the marks say, once the key was opened; the report shows it

The key is opened by `close` alone. What comes in later is taken, and flagged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from theobot.bench.answers import ANSWERS, read_answers, rival_of_records
from theobot.bench.marking.entries import SavedMarks, SavedPreferences
from theobot.bench.marking.pack import render_page
from theobot.bench.marking.results import MarkingResult, summarise
from theobot.bench.marking.sample import MODES, Mode
from theobot.bench.marking.server import serve_page
from theobot.bench.marking.session import (
    FOLDER,
    STORE,
    assigned_page,
    begun,
    open_session,
    read_key,
    read_questions_of,
    refuse_other_answers,
    slug,
)
from theobot.bench.marking.store import MarksStore, Session
from theobot.bench.marking.unblinded import Automatic, Unblinded
from theobot.bench.plan import PLAN, planned_sets, read_plan
from theobot.errors import RunError, SettingsError
from theobot.run_folder import explain_write_errors, write_json, write_text

PACKS = "packs"
MARKS = "marks.json"
SCORES = "scores.json"

_ALIAS = re.compile(r"[^\W_][\w .'-]{0,38}")
_LARGEST_FILE = 64 * 2**20
_SAVED: TypeAdapter[SavedMarks | SavedPreferences] = TypeAdapter(SavedMarks | SavedPreferences)


class Imported(NamedTuple):
    """What a file of marks held. `late`: of the new ones, those after the key was opened."""

    file: Path
    marker: str
    mode: Mode
    new: int
    known: int
    late: int


def pack(
    folder: Path,
    markers: Sequence[str],
    mode: Mode = "mark",
    sample: int | None = None,
    seed: int | None = None,
) -> list[Path]:
    """Write one page per marker; begin the session if there is none.

    The first marker ever named gets the whole sample, every other one the questions that all
    share. A later call adds markers or the other mode to the same session, or writes a page again.

    Args:
        folder: of the benchmark.
        markers: aliases.
        mode: "mark" for marks, one answer at a time; "prefer" to compare two.
        sample: questions in all; by default 36 in domain, 12 near and 12 out of it.
        seed: of the sample; by default a random one, which is kept.

    Returns:
        The pages, in the order of the markers.

    Raises:
        TheobotError: there is nothing to mark, a name or number cannot be used, or the session
            was begun otherwise or is closed.
    """
    _check_settings(markers, mode, sample)
    pages = []
    with open_session(folder, sample, seed) as store:
        for alias in markers:
            data = assigned_page(folder, store, alias, mode)
            suffix = "" if mode == "mark" else f"-{mode}"
            path = folder / FOLDER / PACKS / f"{slug(alias)}{suffix}.html"
            with explain_write_errors(path):
                path.parent.mkdir(exist_ok=True)
            write_text(path, render_page(data))
            pages.append(path)
    return pages


def serve(
    folder: Path,
    marker: str,
    port: int = 0,
    on_ready: Callable[[str], None] = lambda address: None,
) -> int:
    """Serve one marker's page on this machine until Ctrl-C; every mark is on disk at once.

    Whoever marks at a machine that holds the benchmark could look up the key; the page does not
    need to be made by `pack` first.

    Args:
        folder: of the benchmark.
        marker: alias.
        port: on 127.0.0.1; 0 takes a free one.
        on_ready: told the address of the page, once it can be opened.

    Returns:
        How many judgements came in.

    Raises:
        TheobotError: as in `pack`, or the port is taken.
    """
    _check_settings([marker], "mark", None)
    with open_session(folder) as store:
        data = assigned_page(folder, store, marker, "mark")
    return serve_page(folder / FOLDER / STORE, data, port, on_ready)


def import_marks(folder: Path, files: Sequence[Path]) -> list[Imported]:
    """Take in what markers saved; a file may be given again, and is taken whole or not at all.

    Args:
        folder: of the benchmark.
        files: as the pages saved them.

    Raises:
        RunError: with every problem of every file; files without one were taken.
    """
    problems: list[str] = []
    imported = []
    with MarksStore(folder / FOLDER / STORE) as store:
        session = begun(store)
        names = {marker.alias.casefold() for marker in store.markers()}
        for file in files:
            try:
                saved = _read_saved(file, session, names)
                added = store.add(saved.marker, saved.mode, saved.entries, file.name)
            except RunError as error:
                problems.extend(error.problems)
                continue
            imported.append(Imported(file, saved.marker, saved.mode, *added))
    if problems:
        raise RunError(problems)
    return imported


def close(
    folder: Path,
    files: Sequence[Path] = (),
    automatic: Automatic | None = None,
    margins: Mapping[str, float] | None = None,
) -> MarkingResult:
    """Import what is given, open the key, say what the marks say, and keep it in marks.json.

    Marks that come in afterwards are flagged. It may be called again: the first time counts.

    Args:
        folder: of the benchmark.
        files: marks to import first.
        automatic: a score between 0 and 1 by question id and arm, to hold against the marks; by
            default those of the benchmark, if it was judged.
        margins: largest harmless loss per set, in shares of the marks; by default the plan's, else
            0.05.

    Raises:
        RunError: a file is wrong, there is no mark yet, or the answers are no longer those that
            were marked; the key stays closed then.
    """
    import_marks(folder, files)
    with MarksStore(folder / FOLDER / STORE) as store:
        begun(store)
        if not any(store.judgements(mode) for mode in MODES):
            raise RunError(
                f"{store.path}: no marks yet. Name the files that the markers saved; the key "
                "stays closed."
            )
        refuse_other_answers(folder, store)
        store.close_session()
    found = result(folder, automatic, margins)
    assert found is not None
    write_json(folder / MARKS, found.to_json())
    return found


def result(
    folder: Path,
    automatic: Automatic | None = None,
    margins: Mapping[str, float] | None = None,
) -> MarkingResult | None:
    """What the marks say; None before the session was closed, or without one.

    Args:
        folder: of the benchmark.
        automatic: as in `close`.
        margins: as in `close`.

    Raises:
        RunError: marks or key are damaged, or the answers are no longer those that were marked.
    """
    data = unblind(folder, automatic, margins)
    if data is None:
        return None
    with MarksStore(folder / FOLDER / STORE) as store:
        refuse_other_answers(folder, store)
    return summarise(data)


def unblind(
    folder: Path,
    automatic: Automatic | None = None,
    margins: Mapping[str, float] | None = None,
) -> Unblinded | None:
    """Every judgement with its key; None before the session was closed, or without one.

    Args:
        folder: of the benchmark.
        automatic: as in `close`.
        margins: as in `close`.

    Raises:
        RunError: marks or key are damaged.
    """
    path = folder / FOLDER / STORE
    if not path.exists():
        return None
    with MarksStore(path) as store:
        session = store.session()
        if session is None or session.closed is None:
            return None
        key = read_key(folder, session)
        hashes = store.answer_hashes()
        aliases = [marker.alias for marker in store.markers()]
        assigned = {
            mode: {who: n for who in aliases if (n := len(store.cards(who, mode)))}
            for mode in MODES
        }
        return Unblinded(
            session,
            {item.id: item for item in store.items()},
            {answer: arm for answer, (_, arm) in key.answers.items()},
            {mode: store.judgements(mode) for mode in MODES},
            assigned,
            _scores(folder) if automatic is None else automatic,
            _margins(folder) if margins is None else margins,
            {question.id: question.set for question in read_questions_of(folder)},
            {place: hashes[answer] for answer, place in key.answers.items() if answer in hashes},
            _rival(folder),
        )


def _scores(folder: Path) -> dict[tuple[str, str], float]:
    """The automatic scores as the benchmark saved them; none before it was judged."""
    path = folder / SCORES
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {(str(row["id"]), str(row["arm"])): float(row["value"]) for row in rows}
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise RunError(
            f"{path}: damaged. `theobot bench report {folder}` writes it anew."
        ) from None


def _margins(folder: Path) -> dict[str, float]:
    path = folder / PLAN
    if not path.exists():
        return {}
    return {name: planned.margin for name, planned in planned_sets(read_plan(path))}


def _rival(folder: Path) -> str:
    store = folder / ANSWERS
    return rival_of_records(read_answers(store) if store.exists() else []).name


def _check_settings(markers: Sequence[str], mode: str, sample: int | None) -> None:
    problems = [
        f"marker {alias!r}: a short name was expected that begins with a letter or digit and has "
        "letters, digits, spaces, dots, hyphens and apostrophes, at most 39."
        for alias in markers
        if not _ALIAS.fullmatch(alias)
    ]
    slugs = [slug(alias) for alias in markers]
    problems += [
        f"marker {alias!r}: too like {markers[slugs.index(name)]!r}; names must differ in letters."
        for place, (alias, name) in enumerate(zip(markers, slugs, strict=True))
        if slugs.index(name) < place
    ]
    if not markers:
        problems.append("No marker was named; name each person who will mark.")
    if mode not in MODES:
        problems.append(f"--mode {mode!r}: one of {', '.join(MODES)} was expected.")
    if sample is not None and sample < 1:
        problems.append(f"--sample {sample}: a number of questions from 1 on was expected.")
    if problems:
        raise SettingsError(problems)


def _read_saved(file: Path, session: Session, names: set[str]) -> SavedMarks | SavedPreferences:
    try:
        if file.stat().st_size > _LARGEST_FILE:
            raise RunError(f"{file}: larger than any file of marks. Name the one the page saved.")
        saved = _SAVED.validate_json(file.read_bytes())
    except OSError as error:
        raise RunError(f"{file}: cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise RunError(f"{file}: not a file of marks ({_first(error)}). Name the one that the "
                       "page saved, unchanged.") from None  # fmt: skip
    if saved.session != session.id:
        raise RunError(f"{file}: made in another marking session than that of this folder.")
    if saved.marker.casefold() not in names:
        raise RunError(f"{file}: made by {saved.marker!r}, who is no marker of this session.")
    return saved


def _first(error: ValidationError) -> str:
    """The problem that is deepest in the file: the shallow ones are of the other mode."""
    found = max(error.errors(include_input=False), key=lambda one: len(one["loc"]))
    place = ".".join(str(part) for part in found["loc"][1:])
    return f"{place}: {found['msg']}" if place else str(found["msg"])
