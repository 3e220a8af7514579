"""A language model as judge of saved answers: off by default, and never part of the verdict.

Verdicts are appended to `judge.jsonl` in the planned order, so that a store is always a beginning
of the finished one: cut off at any moment, the same call goes on, and ends in the same bytes. Each
verdict is kept by a hash of the judge, its server and every word of the request, so that another
judge's, or one on other answers, is never taken.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theobot.bench.answers import Progress, append_lines, cut_half_line, text_hash
from theobot.bench.benchmark import BenchResult, rejudge
from theobot.bench.judge.prompts import Task, prompt_hash, read_reply, request_of
from theobot.bench.judge.results import (
    VERDICTS,
    JudgeSettings,
    VerdictLine,
    of_same_family,
    planned_tasks,
    read_verdicts,
)
from theobot.bench.saved import JUDGE, read_answered, refuse_equal_answers, refuse_incomplete
from theobot.errors import ServerError, SettingsError
from theobot.generation.api import ApiClient, run
from theobot.run_folder import write_json

_TRIES = 2
_MOST_TOKENS = 2048
"""Room for thoughts before a verdict of one line."""


def judge_answers(
    folder: Path,
    client: ApiClient,
    judge: str,
    *,
    allow_same_family: bool = False,
    limit: int | None = None,
    concurrency: int = 4,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> BenchResult:
    """Ask what the store lacks, then write judge.json and the report anew.

    Args:
        folder: of a benchmark.
        client: of an OpenAI-compatible server.
        judge: name of the model there.
        allow_same_family: take a judge of the family of those judged; the report says so.
        limit: most questions per set.
        concurrency: requests at once.
        on_progress: told of each verdict.

    Raises:
        SettingsError: the judge is of the same family.
        ServerError: the server refuses, or cannot be reached; what it said before is kept.
        TheobotError: a file is missing or damaged, or cannot be written.
    """
    if of_same_family(judge) and not allow_same_family:
        raise SettingsError(
            f'--judge-model "{judge}": of the same family as the models to be judged, and models '
            "prefer their own kind. Name a judge of another family, or type --allow-same-family."
        )
    answered = read_answered(folder)
    refuse_incomplete(answered)
    refuse_equal_answers(answered.records.values())
    settings = JudgeSettings(judge, client.url, limit)
    tasks = planned_tasks(answered, settings)
    store = folder / VERDICTS
    known = read_verdicts(store)
    left = [key for key in tasks if key not in known]
    done = len(tasks) - len(left)
    cut_half_line(store)
    on_progress(Progress(done, len(tasks)))

    async def fill() -> None:
        number = done
        async for key, verdict in _ask_all(client, judge, left, tasks, concurrency):
            append_lines(store, [_line(key, tasks[key], settings, verdict)])
            number += 1
            on_progress(Progress(number, len(tasks)))

    try:
        run(fill())
    finally:
        # A judge that never gave a verdict does not take the place of the one before.
        if tasks.keys() & read_verdicts(store).keys():
            write_json(folder / JUDGE, settings._asdict())
    return rejudge(folder)


async def _ask_all(
    client: ApiClient, judge: str, keys: Sequence[str], tasks: Mapping[str, Task], most: int
) -> AsyncIterator[tuple[str, dict[str, Any] | None]]:
    """Verdicts in the order of the keys, at most `most` requests at a time.

    A verdict is given out when all before it are, and no request runs further ahead than `most`,
    so that no more than these are lost when one fails.
    """
    async with client:
        asked: deque[tuple[str, asyncio.Task[dict[str, Any] | None]]] = deque()
        try:
            for key in keys:
                asked.append((key, asyncio.create_task(_ask(client, judge, key, tasks[key]))))
                if len(asked) == most:
                    first, verdict = asked.popleft()
                    yield first, await verdict
            while asked:
                first, verdict = asked.popleft()
                yield first, await verdict
        finally:
            for _, verdict in asked:
                verdict.cancel()
            await asyncio.gather(*(verdict for _, verdict in asked), return_exceptions=True)


async def _ask(client: ApiClient, judge: str, key: str, task: Task) -> dict[str, Any] | None:
    """A verdict; None where no reply held one. Each try has its own fence, hence other bytes."""
    for attempt in range(_TRIES):
        messages, fence = request_of(task, f"{key} {attempt}")
        reply = await client.post(
            "chat/completions",
            {"model": judge, "messages": messages, "temperature": 0, "max_tokens": _MOST_TOKENS},
        )
        try:
            choice = reply["choices"][0]
            text, end = choice["message"].get("content"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise ServerError(
                f"{client.url}: answered without a message. Is it an OpenAI-compatible server?"
            ) from None
        # What was cut at its cap may end in the middle of a thought.
        verdict = None if end == "length" else read_reply(task, fence, str(text or ""))
        if verdict is not None:
            return verdict
    return None


def _line(key: str, task: Task, settings: JudgeSettings, verdict: dict[str, Any] | None) -> str:
    hashes = [text_hash(text) for text in task.answers]
    judge, server, _ = settings
    line = VerdictLine(key, judge, server, prompt_hash(), task.question.id, hashes, verdict)
    return json.dumps(line._asdict(), ensure_ascii=False) + "\n"
