from __future__ import annotations

import json
from pathlib import Path

import pytest

from theobot.generation.generator import LocalGenerator
from theobot.model.adapter import AdapterInfo, load_adapter, read_adapter_info

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
