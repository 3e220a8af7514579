from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.plan import fix_plan, make_plan, write_plan
from theobot.bench.questions import Question
from theobot.generation.local import LocalGenerator
from theobot.model.adapter import AdapterInfo, load_adapter, read_adapter_info

WORDS = ("agape", "zakah", "langar", "ahimsa")
SETS = {
    "in_domain": ["What is sin?", "Explain forgiveness.", "Evaluate pacifism."],
    "near_domain": ["What is karma?", "Who was Buddha?"],
    "out_of_domain": ["What is 2 + 2?", "Name a river."],
}
REFERENCES = [
    {"id": "in-1", "set": "in_domain", "question": "What is sin?", "marks": 1,
     "reference": "Turning away from God.", "theme": "A", "qtype": "short_1"},
    {"id": "in-2", "set": "in_domain", "question": "Explain  FORGIVENESS.", "marks": 4,
     "reference": "Letting go of anger.", "theme": "B", "qtype": "explain_4_similar"},
]  # fmt: skip


@pytest.fixture
def question_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "questions"
    folder.mkdir()
    for name, questions in SETS.items():
        (folder / f"{name}_questions.txt").write_text("".join(f"{q}\n" for q in questions))
    rows = "".join(json.dumps(row) + "\n" for row in REFERENCES)
    (folder / "references.jsonl").write_text(rows)
    return folder


@pytest.fixture
def tiny_info(tiny_adapter_folder: Path) -> AdapterInfo:
    return read_adapter_info(tiny_adapter_folder)


@pytest.fixture
def tiny_generator(tiny_model, tiny_tokenizer, tiny_info: AdapterInfo) -> LocalGenerator:
    return LocalGenerator(load_adapter(tiny_model, tiny_info), tiny_tokenizer, tiny_info, "tiny")


SaveBench = Callable[[Path, Mapping[str, tuple[str, str]]], Path]


@pytest.fixture
def save_bench() -> SaveBench:
    """Makes a folder as a benchmark leaves it: question ids with the base's and Theobot's answer.

    An id is that of its set, a hyphen and a number. Every question is worth four marks, has four
    key points (agape, zakah, langar, ahimsa), and shares its topic with the one beside it.
    """

    def save(folder: Path, texts: Mapping[str, tuple[str, str]]) -> Path:
        folder.mkdir(exist_ok=True)
        points = [{"text": f"Names {word}", "marks": 1, "accept": [word]} for word in WORDS]
        plan = make_plan(None, base="nano", adapter="a" * 64)
        write_plan(plan, folder / "plan.json")
        fix_plan(folder, plan)
        questions, answers = [], []
        for name, both in texts.items():
            kind, _, number = name.rpartition("-")
            meta = {"key_points": points, "religions": ["Sikhism"],
                    "cluster": f"{kind} {int(number) // 2}"}  # fmt: skip
            asked = Question(name, kind, f"Question {name}?", 4, None, meta)
            questions.append(asked)
            for arm, text in zip(("base", "theobot"), both, strict=True):
                answers.append(AnswerRecord(name, kind, asked.text, arm, "seed", "x", 192, text,
                                            "eos", 9, "nano", "a" * 64, "b", {}, "p"))  # fmt: skip
        for file, rows in (("questions", questions), ("answers", answers)):
            lines = [json.dumps(row._asdict()) + "\n" for row in rows]
            (folder / f"{file}.jsonl").write_text("".join(lines))
        return folder

    return save
