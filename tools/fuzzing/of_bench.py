"""What a benchmark reads: questions, saved answers, marks, and replies of servers."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from theobot.bench import statistics
from theobot.bench.answers import AnswerRecord, cap_for, read_answers, text_hash
from theobot.bench.benchmark import rejudge
from theobot.bench.judge.prompts import Task, read_reply, request_of
from theobot.bench.judge.results import VerdictLine, read_verdicts, task_key
from theobot.bench.leaks import across_sets, from_question
from theobot.bench.marking import marking
from theobot.bench.marking.pack import page_data, render_page
from theobot.bench.marking.sample import Card
from theobot.bench.marking.server import MarkServer
from theobot.bench.plan import fix_plan, make_plan, read_plan, write_plan
from theobot.bench.probes.choices import read_choices
from theobot.bench.questions import (
    SETS,
    SIDECAR,
    Question,
    read_questions,
    shipped_questions,
    spread,
)
from theobot.bench.saved import read_object, read_saved_questions
from theobot.bench.scoring.scores import chrf, count_citations, score_answers
from theobot.data.prompt import Turn
from theobot.generation.wire import make_request, read_answer, read_count

META_WORDS = (
    *("id", "set", "question", "text", "marks", "reference", "meta", "theme", "qtype", "cluster"),
    *("key_points", "accept", "check", "kind", "value", "expected", "religions", "traditions"),
    *("series", "seen_ref", "regex", "number", "choice", "word", "json", "exact", "python"),
    *("words_exactly", "lines_exactly", "in_domain", "out_of_domain", "define", "citations"),
)


def _sidecar(count: int) -> list[dict[str, Any]]:
    """Entries of several kinds of check."""
    lines = (shipped_questions() / SIDECAR).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    kinds: dict[str, dict[str, Any]] = {}
    for row in rows:
        kinds.setdefault(f"{row['set']} {(row['check'] or {}).get('kind')}", row)
    return list(kinds.values())[:count]


def _record(question: Question, arm: str, text: str) -> dict[str, Any]:
    known = {
        "id": question.id, "set": question.set, "question": question.text, "arm": arm,
        "text": text, "prompt_format": "seed", "prompt_sha256": "0", "max_new_tokens": 192,
        "new_tokens": 7, "stop_reason": "eos", "model": "nano", "adapter_sha256": "a" * 64,
        "adapter_config_sha256": "b" * 64, "decoding": {"method": "greedy"}, "plan": "p" * 64,
    }  # fmt: skip
    return dict.fromkeys(AnswerRecord._fields) | known


def _question(row: dict[str, Any]) -> Question:
    meta = {key: value for key, value in row.items() if key not in ("id", "set", "question")}
    return Question(row["id"], row["set"], row["question"], row["marks"], row["reference"], meta)


def _jsonl(rows: list[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


class Questions:
    """A folder of question files, scored, and made into a page and into requests to a judge."""

    name = "questions"
    dictionary = META_WORDS

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = _sidecar(14)[::3]
        texts = {f"{name}_questions.txt": "# one a line\n" for name in (*SETS, "trap")}
        for row in rows:
            texts[f"{row['set']}_questions.txt"] += f"{row['question']}\n"
        self.sound = {name: text.encode() for name, text in texts.items() if text.count("\n") > 1}
        self.sound[SIDECAR] = _jsonl(rows)
        for name, data in self.sound.items():
            (folder / name).write_bytes(data)
        self.corpus = [(SIDECAR, self.sound[SIDECAR])] * 8 + list(self.sound.items())

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        (self.folder / file).write_bytes(data)
        try:
            questions = read_questions(self.folder)
            # To score takes a hundred times as long as to read.
            if len(data) % 25 == 0:
                across_sets(questions)
                spread(questions, 2)
                self._use(questions[len(data) % len(questions)])
        finally:
            (self.folder / file).write_bytes(self.sound[file])

    def _use(self, question: Question) -> None:
        cap_for(question)
        from_question(question)
        answers = ("Peace, John 3:16. B) 42", f"{question.reference or 'none'}"[:5000])
        records = [AnswerRecord(**_record(question, "base", text)) for text in answers]
        score_answers([question], records)
        count_citations(records)
        chrf(answers[0], question.reference or "x") if len(answers[1]) < 2000 else None
        card = Card("c" * 12, "i", "l", "r", 0, None)
        for mode in ("mark", "prefer"):
            texts = {"l": answers[0], "r": answers[1]}
            render_page(page_data("s", "m", mode, [card], {"i": question}, texts))
        for shown in ((answers[0],), answers):
            task = Task(question, shown)
            task_key(task, "judge", "server")
            request_of(task, "seed")


class Answers:
    """`bench report` on a folder that somebody else sent."""

    name = "answers"
    dictionary = (*META_WORDS, *AnswerRecord._fields, "leaks", "noise", "drift", "sentence", "p")

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "bench"
        self.folder.mkdir()
        questions = [_question(row) for row in _sidecar(6)[::3]]
        texts = ("Peace, as John 3:16 says. <img src=x onerror=alert(1)>", "B. 42 and zakah")
        records = [
            _record(one, arm, f"{text} {one.reference}")
            for one in questions
            for arm, text in zip(("base", "theobot"), texts, strict=True)
        ]
        plan = make_plan(None, base="nano", adapter="a" * 64)
        write_plan(plan, self.folder / "plan.json")
        fix_plan(self.folder, plan)
        judged = {"judge": "some-judge", "server": "http://127.0.0.1:1/v1", "limit": None}
        told = {records[0]["id"]: {"base": text_hash(records[0]["text"])}}
        verdicts = [self._verdict(one, judged) for one in questions]
        self.sound = {
            "plan.json": (self.folder / "plan.json").read_bytes(),
            "plan.sha256": (self.folder / "plan.sha256").read_bytes(),
            "questions.jsonl": _jsonl([one._asdict() for one in questions]),
            "answers.jsonl": _jsonl(records),
            "choices.jsonl": _jsonl([{"id": questions[0].id, "arm": "base", "letter": "A",
                                      "probabilities": {"A": 0.7, "B": 0.3}}]),
            "probes.json": json.dumps(_PROBES).encode(),
            "marks.json": json.dumps(_MARKS | {"answers": told}).encode(),
            "judge.json": json.dumps(judged).encode(),
            "judge.jsonl": _jsonl(verdicts),
        }  # fmt: skip
        for name, data in self.sound.items():
            (self.folder / name).write_bytes(data)
        whole = list(self.sound.items())
        self.corpus = [
            (name, data) for name, data in whole for _ in range(1 + 5 * ("answ" in name))
        ]
        rejudge(self.folder)  # What it imports takes longer than a file may.

    @staticmethod
    def _verdict(question: Question, judged: dict[str, Any]) -> dict[str, Any]:
        points = [True] * len(question.meta.get("key_points") or [])
        verdict = {"points": points, "criteria": {"task": 2}}
        line = VerdictLine("k", judged["judge"], judged["server"], "p", question.id, [], verdict)
        return line._asdict()

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        (self.folder / file).write_bytes(data)
        try:
            if file in _READ and len(data) % 25:
                # To judge takes a hundred times as long as to read.
                _READ[file](self.folder / file)
                return
            rejudge(self.folder)
            page = (self.folder / "report.html").read_text(encoding="utf-8")
            assert "<img" not in page, "an answer's markup stands in the report"
            json.loads((self.folder / "report.json").read_bytes())
            read_verdicts(self.folder / "judge.jsonl")
        finally:
            (self.folder / file).write_bytes(self.sound[file])
            (self.folder / "judge.json").write_bytes(self.sound["judge.json"])

    def close(self) -> None:
        """Nothing to do."""


Questions.close = Answers.close  # type: ignore[attr-defined]

_READ: dict[str, Callable[[Path], object]] = {
    "answers.jsonl": read_answers,
    "questions.jsonl": read_saved_questions,
    "choices.jsonl": read_choices,
    "plan.json": read_plan,
    "judge.jsonl": read_verdicts,
    **dict.fromkeys(("probes.json", "marks.json", "judge.json"), read_object),
}
_PROBES: dict[str, Any] = {
    "answers": "p" * 64,
    "adapter_effect": 1.5,
    "plan_changes": ["level: planned 0.95, now 0.9"],
    "noise": {"questions": 5, "changed_share": 0.0, "interval": [0.0, 0.1]},
    "drift": {"kl": {"median": 0.1, "p90": 0.4}, "top1": 0.9},
    "leaks": [{"kind": "exact", "leak": False, "where": "x", "note": "y"}],
}
_MARKS: dict[str, Any] = {
    "sentence": "Two people marked.",
    "agreement": {"alpha": 0.7},
    "comments": [{"id": "x", "arm": "base", "text": "<img src=x>"}],
    "disagreements": [{"id": "x"}],
}


class Marks:
    """A marker's saved file, what a marking page sends, and the files of the session."""

    name = "marks"
    dictionary = (
        *("format", "marks-1", "session", "marker", "saved", "mode", "mark", "prefer", "entries"),
        *("id", "card", "at", "ms", "comment", "marks", "points", "wrong", "scripture", "criteria"),
        *("task", "choice", "left", "right", "equal", "poor", "reasons", "clear", "Ann", "Ben"),
    )

    def __init__(self, folder: Path) -> None:
        self.folder, self.fresh = folder / "bench", folder / "fresh"
        self.folder.mkdir()
        questions = [_question(row) for row in _sidecar(6)]
        records = [
            _record(one, arm, f"{arm[0]} says") for one in questions for arm in ("base", "theobot")
        ]
        (self.folder / "questions.jsonl").write_bytes(_jsonl([one._asdict() for one in questions]))
        (self.folder / "answers.jsonl").write_bytes(_jsonl(records))
        pages = marking.pack(self.folder, ["Ann", "Ben"], "mark")
        pages += marking.pack(self.folder, ["Ann"], "prefer")
        saved = [self._filled(page) for page in pages]
        statistics.mcnemar_exact(1, 2)  # What it imports takes longer than a file may.
        self.server = MarkServer(self.folder / "marking/marks.sqlite", self._data(pages[0]))
        self.key = (self.folder / "marking/blind_key.json").read_bytes()
        shutil.copytree(self.folder, self.fresh)
        body = json.dumps(json.loads(saved[0])["entries"]).encode()
        self.corpus = [("saved.json", one) for one in saved] * 2
        self.corpus += [("body", body), ("blind_key.json", self.key)]

    @staticmethod
    def _data(page: Path) -> dict[str, Any]:
        text = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
        found: dict[str, Any] = json.loads(text)
        return found

    def _filled(self, page: Path) -> bytes:
        data = self._data(page)
        given = {
            "marks": 0,
            "points": [0],
            "wrong": False,
            "scripture": True,
            "criteria": {"task": 2},
        }
        if data["mode"] == "prefer":
            given = {"choice": "left", "reasons": ["clear"]}
        marker = zlib.crc32(data["marker"].encode())
        entries = [
            {"id": f"{marker:08x}{number:016x}", "card": card["id"],
             "at": "2026-01-02T10:00:00.000Z", "ms": 1000, "comment": "good", **given}
            for number, card in enumerate(data["cards"][:3])
        ]  # fmt: skip
        head = {key: data[key] for key in ("format", "session", "marker", "mode")}
        return json.dumps({**head, "saved": "2026-01-02", "entries": entries}).encode()

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        changed = False
        try:
            if file == "body":
                try:
                    changed = self.server.save(data) > 0
                    self.server.page()
                except ValidationError:
                    return  # The server says in a sentence what it expected.
            elif file == "blind_key.json":
                (self.folder / "marking" / file).write_bytes(data)
                changed = True
                if len(data) % 10 == 0:
                    self._import(self.corpus[0][1])
                marking.close(self.folder)
            else:
                changed = any(one.new for one in self._import(data))
                if changed and len(data) % 10 == 0:
                    marking.close(self.folder)
        finally:
            if changed:
                self._begin_anew()

    def _import(self, data: bytes) -> list[marking.Imported]:
        return marking.import_marks(self.folder, [self._saved(data)])

    def _saved(self, data: bytes) -> Path:
        path = self.folder / "saved.json"
        path.write_bytes(data)
        return path

    def _begin_anew(self) -> None:
        for suffix in ("-wal", "-shm"):
            (self.folder / f"marking/marks.sqlite{suffix}").unlink(missing_ok=True)
        for name in ("marks.sqlite", "blind_key.json"):
            shutil.copyfile(self.fresh / "marking" / name, self.folder / "marking" / name)

    def close(self) -> None:
        """Close the server's port."""
        self.server.server_close()


class Replies:
    """What other servers answer: an answer, and a judge's verdict."""

    name = "replies"
    dictionary = ("choices", "message", "content", "text", "finish_reason", "stop", "length",
                  "usage", "completion_tokens", "stop_reason", "tool_calls", "better", "check",
                  "points",
                  "criteria", "yes", "no", "A", "tie", "User:")  # fmt: skip

    def __init__(self, folder: Path) -> None:
        turns = [Turn("user", "Why?")]
        self.requests = {
            kind: make_request("m", turns, kind, {}, 9)  # type: ignore[arg-type]
            for kind in ("chat", "seed")
        }
        self.question = _question(_sidecar(1)[0])
        self.tasks = {
            "mark": Task(self.question, ("So.",)),
            "prefer": Task(self.question, ("So.", "Not so.")),
        }
        usage = {"prompt_tokens": 3, "completion_tokens": 4}
        chat = {"message": {"role": "assistant", "content": "So."}, "finish_reason": "stop"}
        text = {"text": "So.\nUser: Why", "finish_reason": "stop", "stop_reason": None}
        fences = {kind: request_of(task, "seed")[1] for kind, task in self.tasks.items()}
        points = ["yes"] * len(self.question.meta["key_points"])
        marks = {"check": fences["mark"], "points": points, "criteria": {"task": 2, "clear": 1}}
        prefers = {"check": fences["prefer"], "better": "A"}
        self.fences = fences
        self.corpus = [
            ("chat", json.dumps({"choices": [chat], "usage": usage}).encode()),
            ("seed", json.dumps({"choices": [text], "usage": usage}).encode()),
            ("mark", f"Thoughts.\n```json\n{json.dumps(marks)}\n```\n".encode()),
            ("prefer", json.dumps(prefers).encode()),
        ]

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        if file in self.tasks:
            read_reply(self.tasks[file], self.fences[file], data.decode("utf-8", "replace"))
            return
        try:
            reply = json.loads(data)
        except (ValueError, RecursionError):
            return  # As the client does: `api` asks again, and then says so.
        if isinstance(reply, dict):
            read_count(reply, "prompt_tokens", "here")
            answer = read_answer(reply, self.requests[file], "here")
            answer.text.encode()

    def close(self) -> None:
        """Nothing to do."""
