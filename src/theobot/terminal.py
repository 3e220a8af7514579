"""Everything a person sees. Answers and JSON go to stdout; notes, progress and errors to stderr.

On a terminal there are colours, tables and a progress bar; elsewhere plain lines, so that logs and
pipes stay readable. Text from a model is shown without its control characters. Whoever reads may go
away (`| head`, `| tee` and Ctrl-C): no work ends of that, and no exit code changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from theobot.generation.chat import Conversation, Event
    from theobot.generation.generator import Answer, Arm
    from theobot.training.metrics import StepReport


_unread = threading.Event()
"""Set once whoever read stdout has closed it: no further answer needs to be made."""


def _let_go(stream: IO[str]) -> None:
    """Send the rest nowhere, what is still in the stream's buffer included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    if stream is sys.stdout:
        _unread.set()


class _Console(Console):
    """A console that outlives its reader; rich's own would exit with code 1."""

    def on_broken_pipe(self) -> None:
        _let_go(self.file)


_stderr = _Console(stderr=True, highlight=False, soft_wrap=True)
_stdout = _Console(highlight=False, soft_wrap=True)
_errors = _Console(stderr=True, highlight=False, soft_wrap=True)

wrapping = _Console(highlight=False)
"""Stdout for `--help` and framed tables, which are fitted to the width of the terminal."""

# Everything below a space but tab and newline, and the 8-bit controls: an answer must not be able
# to move the cursor or change the window title. Half pairs of UTF-16 cannot be written at all.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

ARM_NAMES: dict[Arm, str] = {"base": "Base model", "theobot": "Theobot"}
"""What people call the two that answer."""

SECONDS_BETWEEN_LINES = 10.0
"""Where there is no terminal, a progress line is written at most this often."""


def silence() -> None:
    """Show nothing but errors from now on: another process of the same run speaks."""
    _stderr.quiet = _stdout.quiet = wrapping.quiet = True


def note(text: str) -> None:
    """A sentence beside the answer, on stderr."""
    # A log on a full disk, or a terminal that is gone, must not end a training.
    with contextlib.suppress(OSError):
        _stderr.print(Text(_clean(text), style="dim"))


def error(problems: Sequence[str]) -> None:
    """The sentences of a `TheobotError`, one line each."""
    with contextlib.suppress(OSError):
        for problem in problems:
            _errors.print(Text(_clean(problem), style="red"))


def write(text: str) -> None:
    """A piece of an answer, on stdout, shown at once."""
    if _stdout.quiet:
        return
    try:
        sys.stdout.write(_clean(text))
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go(sys.stdout)


def line(text: str = "") -> None:
    """A whole line on stdout."""
    write(f"{text}\n")


def heading(text: str) -> None:
    """A line on stdout that names what follows."""
    _stdout.print(Text(_clean(text), style="bold"))


def write_json(value: object) -> None:
    """A value for programs, on stdout."""
    line(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout: boxed on a terminal, elsewhere columns of plain text, never cut."""
    cells = [[_clean(cell) for cell in row] for row in rows]
    if _stdout.is_terminal:
        view = Table(*columns)
        for row in cells:
            view.add_row(*(Text(cell) for cell in row))
        wrapping.print(view)
        return
    lines = [list(columns), *cells]
    widths = [max(len(row[index]) for row in lines) for index in range(len(columns))]
    for row in lines:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line("  ".join(padded).rstrip())


def facts(values: Mapping[str, object], indent: int = 0) -> None:
    """Names and values on stdout, one a line; nested ones indented, empty ones left out."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            if value:
                line(f"{'  ' * indent}{name}:")
                facts(value, indent + 1)
        elif value is not None:
            shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            line(f"{'  ' * indent}{name}: {shown}")


def show_token_row(where: str, pieces: Sequence[str], learned_from: int) -> None:
    """One row as the model sees it: tokens between bars, what is learned apart from what is not.

    Args:
        where: file and line of the row.
        pieces: text of each token.
        learned_from: index of the first learned token.
    """
    shown = [piece.replace("\\", "\\\\").replace("\n", "\\n") for piece in pieces]
    heading(f"{where}: {len(pieces)} tokens, {len(pieces) - learned_from} of them learned")
    for label, part, style in (
        ("  not learned  ", shown[:learned_from], "dim"),
        ("  learned      ", shown[learned_from:], "green"),
    ):
        if part:
            _stdout.print(Text(label), Text(_clean("|".join(part)), style=style), sep="")


def duration(seconds: float) -> str:
    """A length of time as people say it: "42 s", "3 min 20 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(octets: float) -> str:
    """A file size: "812 B", "3.4 MB", "15.2 GB" (powers of 1,000)."""
    for unit in ("B", "kB", "MB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} GB"


class Progress:
    """How far long work is: a bar on a terminal, now and then a line elsewhere.

    Args:
        title: what is being done, such as "Training".
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._started = time.monotonic()
        self._first: int | None = None
        self._last_line = self._started
        self._bar: RichProgress | None = None

    def __enter__(self) -> Self:
        """Start the bar where there is a terminal."""
        if _stderr.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            text = TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[text]}")
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), text, console=_stderr, transient=True
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.stop()

    def show(
        self, done: int, total: int, text: str = "", seconds_left: float | None = None
    ) -> None:
        """Tell how far it is.

        Args:
            done: units done so far.
            total: units in all.
            text: figures worth seeing, such as the loss.
            seconds_left: the worker's own estimate; without one it comes from the time since
                the first call.
        """
        left = self._left(done, total) if seconds_left is None else seconds_left
        ending = "" if left is None or done >= total else f"{duration(left)} left"
        words = ", ".join(part for part in (text, ending) if part)
        if self._bar is not None:
            with contextlib.suppress(OSError):
                if not self._bar.tasks:
                    self._bar.start()
                    self._bar.add_task(self.title, total=total, text=words)
                self._bar.update(self._bar.tasks[0].id, completed=done, total=total, text=words)
            return
        now = time.monotonic()
        if done >= total or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            note(f"{self.title}: {done} of {total}" + (f", {words}" if words else ""))

    def _left(self, done: int, total: int) -> float | None:
        now = time.monotonic()
        if self._first is None:
            # Work found done already (a resumed run) says nothing about the speed.
            self._first, self._started = done, now
        fresh = done - self._first
        return (now - self._started) / fresh * (total - done) if fresh > 0 else None


class TrainingProgress(Progress):
    """Progress fed by the trainer's reports; each new dev loss is a line of its own."""

    def __init__(self) -> None:
        super().__init__("Training")

    def report(self, report: StepReport) -> None:
        """Show one logged step."""
        if report.dev_loss is not None:
            note(f"Dev loss after step {report.step}: {report.dev_loss:.4f}")
        if report.loss is None:
            return
        text = (
            f"loss {report.loss:.3f}, {report.tokens_per_second:,.0f} tokens/s, "
            f"{report.memory_gib:.1f} GiB"
        )
        self.show(report.step, report.total_steps, text, report.seconds_left)


def show_answer(title: str | None, parts: Iterable[str | Answer]) -> None:
    """Stream an answer to stdout; how it ended is a note where that matters.

    Args:
        title: who answers, or None to write the answer alone.
        parts: pieces of text, the whole answer last.
    """
    if title is not None:
        heading(title)
    for part in parts:
        if isinstance(part, str):
            write(part)
            if _unread.is_set():
                return
            continue
        line()
        if part.stop_reason == "length":
            note(f"(cut at {part.new_tokens} tokens; a higher --max-new-tokens allows more)")
        elif not part.text:
            note("(the model said nothing)")
    if title is not None:
        line()


def run_chat(conversation: Conversation) -> None:
    """Read lines and show what comes back until /quit or the end of the input.

    Ctrl-C stops an answer and keeps the conversation; at the prompt it ends the chat.
    """
    note("Type a question, /help or /quit.")
    # A letter that is no UTF-8 becomes "\ufffd"; half a pair of UTF-16 is no text for a model.
    _reconfigure(sys.stdin)
    while not _unread.is_set() and (typed := _read_line()) is not None:
        try:
            if not _show_events(conversation.handle(typed)):
                return
        except KeyboardInterrupt:
            line()
            note("Stopped. The question is forgotten; ask on, or type /quit.")


def _read_line() -> str | None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return sys.stdin.readline() or None
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing
    try:
        return input("> ")
    except EOFError:
        return None


def _show_events(events: Iterable[Event]) -> bool:
    """Show one line's events; False when the person wants to leave."""
    from theobot.generation.chat import Note, Piece, Quit

    speaking = None
    for event in events:
        if isinstance(event, Quit):
            return False
        if isinstance(event, Note):
            note(event.text)
        elif isinstance(event, Piece):
            if event.arm != speaking:
                speaking = event.arm
                _stdout.print(Text(f"{speaking}: ", style="bold"), end="")
            write(event.text)
        else:
            line()
            if event.answer.stop_reason == "length":
                note(f"(cut at {event.answer.new_tokens} tokens)")
    return True


def notes_are_seen() -> bool:
    """Whether stderr is a terminal, where bars make sense."""
    return _stderr.is_terminal


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
    """Let letters that the terminal's encoding lacks become "?" instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        _reconfigure(stream)
    yield
    write("")


def _reconfigure(stream: IO[str]) -> None:
    reconfigure: Any = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)
