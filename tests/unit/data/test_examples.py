"""Raw rows: what is accepted, and one sentence for everything that is not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from theobot.data.examples import find_problems, read_examples
from theobot.errors import DataError

PROMPT = "User: What is sewa?\nAssistant:"
GOOD = {"prompt": PROMPT, "completion": "Selfless service."}


def write(path: Path, *rows: object) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_seed_rows_are_read_character_for_character(tmp_path):
    text = "  “Love your neighbour”\n\nCafé ☪ \\ \t end "
    row = {"prompt": "User: Was heißt das?\nAssistant:", "completion": text, "meta": {"theme": "A"}}
    (example,) = read_examples(write(tmp_path / "a.jsonl", row))
    assert example.prompt == row["prompt"]
    assert example.completion == text
    assert example.meta == {"theme": "A"}
    assert example.where == "a.jsonl:1"


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n\r\n" + b"   \n")
    assert [example.where for example in read_examples(file)] == ["a.jsonl:1"]


def test_messages_become_prompt_and_completion(tmp_path):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is langar?"},
        {"role": "assistant", "content": "A free kitchen."},
        {"role": "user", "content": "Who may eat?"},
        {"role": "assistant", "content": "Everyone."},
    ]
    (example,) = read_examples(write(tmp_path / "a.jsonl", {"messages": messages}))
    assert example.prompt == (
        "User: Be brief.\n\nWhat is langar?\nAssistant: A free kitchen.\nUser: Who may eat?"
        "\nAssistant:"
    )
    assert example.completion == "Everyone."


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ('{"prompt": "User: a\\nAssistant:", "completion": "say "hi""}', "not valid JSON at"),
        ("[1]", "found a list; expected an object"),
        ("17", "found the number 17; expected an object"),
        ({"prompt": PROMPT}, r"lacks completion \(found keys: prompt\)"),
        ({"question": "a", "answer": "b"}, "lacks prompt and completion"),
        ({"prompt": PROMPT, "completion": 5}, "completion is the number 5; a text was expected"),
        ({"prompt": PROMPT, "completion": None}, r"completion is empty \(null\)"),
        ({"prompt": PROMPT, "completion": " \n"}, "the completion is empty"),
        ({"prompt": "User:  \nAssistant:", "completion": "b"}, "the question is empty"),
        ({"prompt": "What is sewa?", "completion": "b"}, 'prompt is "What is sewa\\?"; expected'),
        ({"prompt": PROMPT + " ", "completion": "b"}, "prompt is"),
        ({**GOOD, "meta": [1]}, "meta is a list; an object was expected"),
        ('{"prompt": "User: a\\nAssistant:", "completion": "\\ud800"}', "surrogate"),
        ({"messages": "hi"}, "messages is a text"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "role 'bot'"),
        ({"messages": [{"role": "user", "content": "x"}]}, "has the roles user"),
    ],
)
def test_each_wrong_row_gets_a_sentence_with_its_line(tmp_path, row, sentence):
    file = write(tmp_path / "a.jsonl", GOOD, row)
    with pytest.raises(DataError, match=sentence) as caught:
        read_examples(file)
    assert caught.value.problems[0].startswith("a.jsonl:2: ")


def test_bytes_that_are_not_utf8_name_their_place(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"prompt": "User: caf\xe9\\nAssistant:", "completion": "x"}\n')
    with pytest.raises(DataError, match=r"a.jsonl:1: not UTF-8 \(byte 22\)"):
        read_examples(file)


def test_all_problems_are_found_at_once(tmp_path):
    file = write(tmp_path / "a.jsonl", GOOD, "{", {"prompt": PROMPT}, GOOD, {"completion": "x"})
    examples, problems = find_problems(file)
    assert len(examples) == 2
    assert [problem.split(":")[1] for problem in problems] == ["2", "3", "5"]


def test_many_problems_are_counted_rather_than_all_shown_when_training(tmp_path):
    file = write(tmp_path / "a.jsonl", *["{"] * 50)
    with pytest.raises(DataError) as caught:
        read_examples(file)
    assert len(caught.value.problems) == 21
    assert "30 more" in caught.value.problems[-1]
    assert "theobot data check" in caught.value.problems[-1]


def test_missing_empty_and_folder_are_told_apart(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(DataError, match="no such file"):
        read_examples(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="holds no rows"):
        read_examples(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read_examples(tmp_path)


def test_a_hub_id_that_cannot_be_reached_is_told_as_such():
    with pytest.raises(DataError, match="could not be loaded as a Hub dataset"):
        read_examples("someone/nothing-here")


def test_csv_and_parquet_rows_are_read_with_their_row_numbers(tmp_path):
    import datasets

    table = datasets.Dataset.from_list([GOOD, {"prompt": PROMPT, "completion": 'a "b", c\nd'}])
    table.to_csv(str(tmp_path / "a.csv"))
    table.to_parquet(str(tmp_path / "a.parquet"))
    for name in ("a.csv", "a.parquet"):
        examples = read_examples(tmp_path / name)
        assert [example.completion for example in examples] == [
            "Selfless service.",
            'a "b", c\nd',
        ]
        assert examples[1].where == f"{name}:row 2"


@pytest.mark.parametrize(
    ("name", "content"), [("a.parquet", b"not parquet"), ("a.csv", b'prompt,completion\na,b\n"')]
)
def test_a_broken_table_is_told_in_a_sentence_alone(tmp_path, capfd, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as (PARQUET|CSV)"):
        read_examples(tmp_path / name)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("meta", "sentence"),
    [
        ({"religions": 5}, "meta.religions is the number 5; a list was expected"),
        ({"religions": [None]}, "meta.religions holds empty"),
        ({"theme": ["A"]}, "meta.theme is a list; a text was expected"),
        ({"note": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_metadata_of_the_wrong_kind_is_told_by_line(tmp_path, meta, sentence):
    file = tmp_path / "rows.jsonl"
    row = {"prompt": "User: Why?\nAssistant:", "completion": "So.", "meta": meta}
    file.write_text(json.dumps(row) + "\n")
    _, problems = find_problems(file)
    assert len(problems) == 1
    assert sentence in problems[0]


def test_a_column_of_dates_is_read_as_text_and_octets_are_refused(tmp_path):
    good = {"prompt": PROMPT, "completion": "So."}
    dated = tmp_path / "dated.parquet"
    pq.write_table(
        pa.Table.from_pylist([{**good, "meta": {"as_of": date(2024, 1, 31), "theme": "A"}}]), dated
    )
    (example,) = read_examples(dated)
    assert example.meta == {"as_of": "2024-01-31", "theme": "A"}
    raw = tmp_path / "raw.parquet"
    pq.write_table(pa.Table.from_pylist([{**good, "meta": {"note": b"x"}}]), raw)
    with pytest.raises(DataError, match=r"row 1: meta holds the bytes b'x'"):
        read_examples(raw)


def test_every_parquet_row_that_is_not_utf_8_is_told(tmp_path):
    completions = pa.array([b"So.", b"So\x8c.", b"So.", b"\xff"]).view(pa.string())
    table = pa.table({"prompt": [PROMPT] * 4, "completion": completions})
    pq.write_table(table, tmp_path / "rows.parquet")
    examples, problems = find_problems(tmp_path / "rows.parquet")
    assert [one.where for one in examples] == ["rows.parquet:row 1", "rows.parquet:row 3"]
    assert problems == [
        f"rows.parquet:row {row} holds text that is not UTF-8 (byte {byte} of it)."
        for row, byte in (("2:", 3), ("4:", 1))
    ]


@pytest.mark.parametrize("name", ["rows[1].csv", "rows (1).csv", "row?.csv", "ro*.csv"])
def test_a_table_is_found_whatever_its_name(tmp_path, name):
    file = tmp_path / "[a]" / name
    file.parent.mkdir()
    file.write_text('prompt,completion\n"User: Why?\nAssistant:",So.\n')
    assert [one.completion for one in read_examples(file)] == ["So."]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f'{{"prompt": "{{}}", "completion": "x", "n": {"1" * 5000}}}', "too many digits"),
        ('{"prompt": "a", "completion": "x", "n": NaN}', "NaN is no JSON value"),
        ('{"prompt": "a", "prompt": "b", "completion": "x"}', "the same key stands twice"),
        ("[" * 100_000, "too deeply nested"),
    ],
)
def test_what_fixing_would_refuse_is_not_sound(tmp_path, line, sentence):
    file = tmp_path / "rows.jsonl"
    file.write_text(line + "\n")
    (problem,) = find_problems(file)[1]
    assert sentence in problem
    assert problem.startswith("rows.jsonl:1: not valid JSON")
