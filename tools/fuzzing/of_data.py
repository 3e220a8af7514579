"""Training data, texts with scripture in them, and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from theobot.bench.leaks import find_leaks, from_example, from_question
from theobot.bench.questions import read_questions
from theobot.config import ServeSettings, TrainSettings, find_recipe, load_settings
from theobot.data.check import check_file
from theobot.data.dataset import fingerprint, shipped_training_data, stratified, summarise
from theobot.data.examples import find_problems
from theobot.data.repair import repair_file
from theobot.data.split import split_file
from theobot.data.strict_json import read_strict
from theobot.scripture import find_pseudo_scripture
from theobot.scripture.check import check_file as check_scripture
from theobot.scripture.grounding import ground

ROW_WORDS = (
    *("prompt", "completion", "meta", "messages", "role", "content", "instruction", "input"),
    *("output", "question", "answer", "system", "theme", "qtype", "religions", "marks", "views"),
    *("citations", "cluster", "topic", "as_of", "traditions", "split", "assistant", "user"),
)


def _rows(count: int) -> list[dict[str, Any]]:
    lines = shipped_training_data().read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:: len(lines) // count][:count]]


def _jsonl(rows: list[Any]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


_OTHERS: list[Any] = [
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"},
                  {"role": "assistant", "content": "John 3:16."}], "meta": {"theme": "A"}},
    {"instruction": "Explain.", "input": "Genesis 1:1", "output": "It begins.", "source": "x"},
    {"question": "What is zakah?", "answer": "Alms (Surah 2:43)."},
]  # fmt: skip


class _Target:
    """Holds a folder; nothing else has to be given back."""

    dictionary: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def close(self) -> None:
        """Nothing to do."""


class Dataset(_Target):
    """`data check`, `data split`, and what `train` does with rows before it has a model."""

    name = "dataset"
    dictionary = ROW_WORDS
    corpus = (
        ("rows.jsonl", _jsonl(_rows(3))),
        ("rows.jsonl", _jsonl(_rows(1))),
        ("rows.jsonl", _jsonl(_OTHERS[:1] * 2)),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked = [from_question(question) for question in read_questions(limit=1)]

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        path = self.folder / file
        path.write_bytes(data)
        if len(data) < 100_000 and len(data) % 50:
            # To check the wording takes ten times as long as to read.
            examples, _ = find_problems(path)
        else:
            checked = check_file(path)
            json.dumps(checked.as_json())
            examples = checked.examples
        if examples:
            fingerprint(examples)
            summarise(examples)
            stratified(examples, 1)
        if len(data) % 50:
            return
        find_leaks([from_example(example) for example in examples], self.asked)
        for one in self.folder.glob("parts/*"):
            one.unlink()
        split_file(path, self.folder / "parts")


class Repair(_Target):
    """`data fix`: whatever the state of a file, what comes out of it is valid JSON."""

    name = "repair"
    dictionary = ROW_WORDS
    corpus = (
        ("rows.jsonl", _jsonl(_rows(2))),
        ("rows.jsonl", _jsonl(_rows(1)).replace(b'\\"', b'"')),
        ("rows.jsonl", _jsonl(_OTHERS)),
        ("rows.jsonl", json.dumps(_OTHERS, indent=2).encode()),
        ("rows.jsonl", repr(_OTHERS[1]).encode()),
        (
            "rows.csv",
            b'question,answer,theme\n"Why, then?","Since ""John 3:16"" says so.",A\na,b,c\n',
        ),
        ("rows.csv", b"prompt;completion;meta\nWhy?;So.;{}\n"),
    )

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        source = self.folder / file
        outputs = [self.folder / name for name in ("out.jsonl", "out.jsonl.rejected", "out.json")]
        source.write_bytes(data)
        for path in outputs:
            path.unlink(missing_ok=True)
        repair_file(source, outputs[0], outputs[2])
        for line in outputs[0].read_bytes().split(b"\n")[:-1]:
            assert isinstance(read_strict(line.decode()), dict)
        json.loads(outputs[2].read_bytes())


class Tables(_Target):
    """CSV and Parquet by way of `datasets`."""

    name = "tables"
    dictionary = ROW_WORDS

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(folder)
        rows = [{key: row[key] for key in ("prompt", "completion")} for row in _rows(3)]
        pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
        lines = ['"{}","{}"'.format(row["prompt"], "It is so.") for row in rows]
        self.corpus = [
            ("rows.csv", "\n".join(["prompt,completion", *lines, ""]).encode()),
            ("rows.parquet", (folder / "rows.parquet").read_bytes()),
        ]

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        path = self.folder / file
        path.write_bytes(data)
        find_problems(path)


class Scripture(_Target):
    """`scripture check`, and the verses put before a question."""

    name = "scripture"
    corpus = (
        ("text.txt", b'John 3:16-18 says "For God so loved the world". See 1 Cor 13:4, 7; Gen 1.'),
        ("text.txt", "Surah 2:256 (Al-Baqarah), Sahih al-Bukhari 1, “Love thy neighbour”".encode()),
        (
            "text.txt",
            "Psalm 23:1–6; Mishnah Sanhedrin 4:5; Bhagavad Gita 2:47; Dhammapada 5".encode(),
        ),
        (
            "text.txt",
            b"As the Bible says, God helps those who help themselves. Guru Granth Sahib 473",
        ),
        ("rows.jsonl", _jsonl(_rows(1))),
    )
    dictionary = (
        *(
            "Genesis",
            "1 John",
            "Song of Songs",
            "Psalms",
            "Ps",
            "Surah",
            "Qur'an",
            "ayah",
            "Hadith",
        ),
        *(
            "Bukhari",
            "Mishnah",
            "Talmud",
            "Berakhot",
            "2a",
            "Gita",
            "Dhammapada",
            "chapter",
            "verse",
        ),
        *("verses", "v.", "vv", "ff", "f", "and", "to", "ch", "Book of", "iv", "XII", "22:39-40"),
        # What IGNORECASE takes for s, i and k, and what \s takes for a space.
        *("\u017f", "\u0131", "\u0130", "\u212a", "\r\n", "\u2003", "\u2028", "\x85"),
        *("chapter 4 of First\r\nJohn", "Rosh-ha-shanah 1:2", "\u0131 John 4:8", "\u0130V:3"),
    )

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        path = self.folder / file
        path.write_bytes(data)
        check_scripture(str(path))
        text = data.decode("utf-8", "replace")
        find_pseudo_scripture(text)
        if len(text) <= 50_000:  # That is the most that a server takes.
            ground(text)


class Settings(_Target):
    """TOML files of settings."""

    name = "settings"
    corpus = tuple(("x.toml", find_recipe(name).read_bytes()) for name in ("nano", "qwen2.5-7b"))
    dictionary = (
        *("lora", "r", "lora_alpha", "target_modules", "training", "tokens", "max_length", "model"),
        *(
            "[lora]",
            "[[lora]]",
            "lora.r",
            "2020-01-01",
            "1979-05-27T07:32:00Z",
            '"""',
            "'''",
            "0x1",
        ),
        *("1_0", "+inf", "device", "bf16", "learning_rate", "per_minute", "{a=1}", "seed"),
    )

    def run(self, file: str, data: bytes) -> None:
        """See `oracle.Target`."""
        path = self.folder / file
        path.write_bytes(data)
        load_settings(TrainSettings, path)
        load_settings(ServeSettings, path)
