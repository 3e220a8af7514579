"""`theobot scripture check`: files, lines, exit codes; and how long a long text takes."""

import io
import json
import sys
import time

import pytest

from theobot.cli import main
from theobot.errors import DataError
from theobot.scripture import find_citations
from theobot.scripture.check import check_file, check_text

ROW = {"prompt": "User: What does Genesis 60:5 teach?\nAssistant:", "completion": "See Mark 4:3."}


def test_lines_and_columns_of_plain_text():
    checked = check_text("First.\n\nRead John 3:16 and\n  Genesis 1:99.\n", "notes.txt")
    assert [(one.line, one.column, one.citation.text) for one in checked.citations] == [
        (3, 6, "John 3:16"),
        (4, 3, "Genesis 1:99"),
    ]
    assert checked.counts()["missing"] == 1


def test_rows_are_read_by_field_and_line():
    text = (
        json.dumps({"messages": [{"role": "user", "content": "Jude 3"}]}) + "\n" + json.dumps(ROW)
    )
    checked = check_text(text, "rows.jsonl")
    assert [(one.line, one.field, one.citation.reference) for one in checked.citations] == [
        (1, "messages[0]", "Jude 3"),
        (2, "prompt", "Genesis 60:5"),
        (2, "completion", "Mark 4:3"),
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("John 3:16", 0),
        ("Genesis 1", 0),
        ("Acts 8:37", 0),
        ('"Money is the root of all evil" (1 Timothy 6:10)', 0),
        ("nothing here", 0),
        ("Genesis 60:5", 1),
    ],
)
def test_the_exit_code_is_1_only_when_one_does_not_exist(tmp_path, capsys, text, code):
    file = tmp_path / "text.txt"
    file.write_text(text, encoding="utf-8")
    assert main(["scripture", "check", str(file)]) == code
    assert capsys.readouterr().out


def test_the_table_shows_place_status_and_why(tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW), encoding="utf-8")
    assert main(["scripture", "check", str(file)]) == 1
    out = capsys.readouterr().out
    assert "1:17 prompt" in out
    assert "Genesis has 50 chapters, so there is no chapter 60" in out


def test_json_for_programs(tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text('"For God so loved the world" (John 3:16)', encoding="utf-8")
    assert main(["scripture", "check", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (citation,) = answer["citations"]
    assert (citation["status"], citation["quotation"]["verdict"]) == ("exists", "matches")
    assert answer["counts"]["exists"] == 1


def test_standard_input_is_read(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("John 3:16 – é".encode())))
    assert main(["scripture", "check", "-"]) == 0
    assert "John 3:16" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        check_file(str(tmp_path / "absent.txt"))
    with pytest.raises(DataError, match="folder"):
        check_file(str(tmp_path))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match="UTF-8"):
        check_file(str(tmp_path / "latin.txt"))


def test_no_text_makes_it_stumble():
    awkward = [
        "",
        "(",
        "5 Genesis v. iv. , 37a Q",
        '"' * 999,
        "1 " * 5000,
        "Genesis 1:" * 2000,
        "Q" * 5000,
        "v. " * 3000,
    ]
    awkward += ["1:1, " * 5000, "John 3:16, 17, 18" + ", 19" * 3000, "Surah Al-" * 2000, "’" * 3000]
    started = time.process_time()
    for text in awkward:
        find_citations(text)
    assert time.process_time() - started < 5
