"""Broken files come back letter by letter, or are reported; nothing is lost and nothing guessed."""

from __future__ import annotations

import json
import random
import runpy
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theobot import cli
from theobot.data.dataset import shipped_training_data
from theobot.data.examples import find_problems
from theobot.data.lines import BLOCK, Line, read_lines
from theobot.data.loose_json import read_objects
from theobot.data.outcomes import Outcome
from theobot.data.repair import kind_of, repair_file, repair_lines
from theobot.errors import DataError

defects = runpy.run_path(str(Path(__file__).with_name("defects.py")))
corpus, table, unquoted, make_row = (
    defects[name] for name in ("corpus", "table", "unquoted", "row")
)

PROMPT = '"prompt": "User: Why?\\nAssistant:"'
Q = "User: Why?\nAssistant:"


def repair(tmp_path: Path, body: str | bytes) -> list[Outcome]:
    source = tmp_path / "in.jsonl"
    source.write_bytes(body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body)
    return list(repair_lines(read_lines(source)))


def rows(outcomes: list[Outcome]) -> list[dict[str, object]]:
    return [json.loads(o.text) for o in outcomes if o.kind in ("valid", "repaired") and o.text]


def answer(tmp_path: Path, body: str | bytes) -> str:
    """The completion of the one row that comes back for PROMPT."""
    (row,) = rows(repair(tmp_path, body))
    assert row["prompt"] == Q
    return str(row["completion"])


@pytest.mark.parametrize(
    ("ending", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig"), ("\r\n", "utf-16")]
)
def test_every_recoverable_text_comes_back_and_every_other_line_is_reported(
    tmp_path, ending, encoding
):
    text, expected = corpus(7, 2500, ending)
    body = text.encode(encoding)
    found = defaultdict(list)
    for outcome in repair(tmp_path, body):
        found[outcome.first].append(outcome)
    classes = set()
    for want in expected:
        lines = range(want.first, want.last + 1)
        outcomes = [o for n in lines for o in found[n] if o.kind != "blank"]
        reported = any(o.kind == "rejected" and o.reason for o in outcomes)
        assert rows(outcomes) == (want.rows or []), want
        assert reported == (want.rows is None), want
        classes.add(want.defect)
    assert len(classes) == 16


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ('"He said "yes" and went"', 'He said "yes" and went'),
        ('""Yes" he said"', '"Yes" he said'),
        ('"He said "yes""', 'He said "yes"'),
        ('"The "inner "deep" word" ends"', 'The "inner "deep" word" ends'),
        ('"The words "a", "b": and "c"."', 'The words "a", "b": and "c".'),
        ('"Write {"a": "b"} now"', 'Write {"a": "b"} now'),
        ('"Write {"a": "b"}"', 'Write {"a": "b"}'),
        ('"It is 6" long"', 'It is 6" long'),
        ('"a "b", "prompts": "c" d"', 'a "b", "prompts": "c" d'),
        ('"tab\there"', "tab\there"),
        ('"two\nlines\n\nmore"', "two\nlines\n\nmore"),
        ('"back \\d slash"', "back \\d slash"),
        ('"it\\\'s \\“so\\” \\xe9"', "it's “so” é"),
        ('"pair \\ud83d\\ude4f "x""', 'pair 🙏 "x"'),
        (': = "stray"', "stray"),
        ("“curly “in” it”", "curly “in” it"),
        ("'it's single'", "it's single"),
    ],
)
def test_a_broken_completion_comes_back(tmp_path, broken, text):
    assert answer(tmp_path, f'{{{PROMPT}, "completion": {broken}}}') == text
    assert answer(tmp_path, f'{{"completion": {broken}, {PROMPT}}}') == text
    if "“" not in broken:
        assert (
            answer(tmp_path, f'{{{PROMPT} "completion": {broken}, "meta": {{"id": 1}}}},') == text
        )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f'{{{PROMPT}, "completion": "It stops', "cut off"),
        (f'{{{PROMPT}, "completion": "He said "', "cut off"),
        (f'{{{PROMPT}, "completion": "He said "yes"', "cut off"),
        (f'{{{PROMPT}, "completion": ', "cut off"),
        (f'{{{PROMPT}, "comple', "cut off"),
        (f'{{"prompt": "User: W{{{PROMPT}, "completion": "a"}}', "another object"),
        (f'{{{PROMPT}, "completion": "W{{{PROMPT}, "completion": "a"}}', "another object"),
        (f"{{{PROMPT}", "lacks completion"),
        (f'{{{PROMPT}, "completion": "a", "completion": "b"}}', "twice"),
        (f'{{{PROMPT}, "completion": "say", "prompt": "x"}}', "twice"),
        (f'{{{PROMPT}, "completion": "a "b" c", "unknown": "d"}}', "no known key"),
        (f'{{{PROMPT}, "completion": The "just" war"}}', "stray letters"),
        (f'{{{PROMPT}, "completion": 7}}', "a text was expected"),
        (f'{{{PROMPT}, "completion": "a "b"", "meta": NaN}}', "stray letters"),
        ('{"prompt": "User: "x" \\ud800\\nAssistant:", "completion": "a"}', "surrogate"),
        ('{"role": "user", "content": "x"}', "no prompt"),
        ("notes of mine", "no object"),
        (f'{{{PROMPT} "xx", "completion": "a"}}', "goes on"),
        ("42", "no object"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "roles"),
        ('{"prompt": "User: x Assistant:", "completion": "a"}', "new line"),
        ('{"meta": ' + "[" * 5000 + "}", "deep"),
    ],
)
def test_what_cannot_be_read_for_sure_is_rejected_with_a_reason(tmp_path, line, reason):
    good = f'{{{PROMPT}, "completion": "after"}}'
    outcomes = repair(tmp_path, f"{line}\n{good}\n")
    assert [o.kind for o in outcomes] == ["rejected", "valid"]
    assert outcomes[0].text == line
    assert reason in outcomes[0].reason


def test_valid_lines_pass_unaltered(tmp_path):
    source = random.Random(3)
    lines = [json.dumps(make_row(source), ensure_ascii=source.random() < 0.5) for _ in range(2000)]
    lines += [f'  {{ "completion" : "\\u0041\\/" ,{PROMPT}, "source": 1.50 }} ', lines[0]]
    outcomes = repair(tmp_path, "\n".join(lines))
    assert [o.text for o in outcomes] == lines
    assert {o.kind for o in outcomes} == {"valid"}


def test_the_shipped_set_passes_unaltered(tmp_path):
    data = shipped_training_data().read_bytes()
    done = repair_file(shipped_training_data(), tmp_path / "out.jsonl")
    assert done.output.read_bytes() == data
    assert done.rejected is None


ROW = f'{{{PROMPT}, "completion": "café’s – ü"}}\n'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (ROW.encode("utf-8-sig"), "byte order mark"),
        (ROW.encode("utf-16"), "utf-16"),
        (ROW.encode("utf-16-be"), "utf-16"),
        (ROW.encode("utf-16-le"), "utf-16"),
        (ROW.encode("cp1252"), "Windows-1252"),
        (ROW.replace("\n", "\r\n").encode(), "CRLF"),
    ],
)
def test_encodings(tmp_path, body, said):
    (outcome,) = repair(tmp_path, body)
    assert json.loads(outcome.text)["completion"] == "café’s – ü"
    assert any(said in repair for repair in outcome.repairs)


def test_latin_1_and_a_mixture_that_is_not_guessed(tmp_path):
    latin = f'{{{PROMPT}, "completion": "caf\xe9 \x81"}}'.encode("latin-1")
    mixed = f'{{{PROMPT}, "completion": "'.encode() + "é".encode() + b' caf\xe9"}'
    first, second = repair(tmp_path, latin + b"\n" + mixed + b"\n")
    assert json.loads(first.text)["completion"] == "café \x81"
    assert second.kind == "rejected"
    done = repair_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert done.rejected
    assert done.rejected.read_bytes() == mixed + b"\n"


def test_csv(tmp_path):
    body, expected = table(5, 300)
    outcomes = repair(tmp_path, body)
    assert rows(outcomes) == expected
    assert not [o for o in outcomes if o.kind == "rejected"]


def test_lines_that_hold_no_row_are_counted_for_none(tmp_path):
    row = '{"prompt": "User: Why?\\nAssistant:", "completion": "So."}'
    for name, body in (("a.csv", "question,answer\nWhy?,So.\n"), ("b.json", f"[\n{row}\n]\n")):
        (tmp_path / name).write_text(body)
        done = repair_file(tmp_path / name, tmp_path / f"{name}.out")
        assert done.counts["repaired"] + done.counts["valid"] == 1, name
        assert (tmp_path / f"{name}.out").read_text().count("\n") == 1


def test_csv_with_further_columns_and_broken_records(tmp_path):
    body = (
        "id;Question;Answer;meta\n"
        '7;Why?;"Be, ""cause""";"{""theme"": ""A""}"\n'
        '8;Why?;"He said "yes" to me";\n'
        "\n9;Why?;short\n"
    )
    outcomes = repair(tmp_path, body)
    meta = {"id": "7", "theme": "A"}
    assert rows(outcomes) == [{"prompt": Q, "completion": 'Be, "cause"', "meta": meta}]
    kinds = [(o.first, o.kind) for o in outcomes]
    assert kinds == [
        (1, "repaired"), (2, "repaired"), (3, "rejected"), (4, "blank"), (5, "rejected"),
    ]  # fmt: skip


def test_other_shapes_keep_what_they_hold(tmp_path):
    body = (
        '{"instruction": "Say", "input": "this", "output": "a "b"", "meta": {"id": 1}}\n'
        '{"question": "Why?", "answer": "So.", "topic": "war"}\n'
        '{"messages": [{"role": "system", "content": "Be "kind""}, {"role": "user", "content": '
        '"Why?"}, {"role": "assistant", "content": "So."}]}\n'
        '{"prompt": "Why?", "completion": "So."}\n'
        '{"prompt": "User:Why?\\nAssistant: ", "completion": "So."}\n'
    )
    assert rows(repair(tmp_path, body)) == [
        {"prompt": "User: Say\n\nthis\nAssistant:", "completion": 'a "b"', "meta": {"id": 1}},
        {"prompt": Q, "completion": "So.", "meta": {"topic": "war"}},
        {"prompt": 'User: Be "kind"\n\nWhy?\nAssistant:', "completion": "So."},
        {"prompt": Q, "completion": "So."},
        {"prompt": Q, "completion": "So."},
    ]


def test_keys_of_valid_lines_are_known_in_broken_ones(tmp_path):
    body = (
        f'{{{PROMPT}, "completion": "a", "theme": "A"}}\n'
        f'{{{PROMPT}, "completion": "b "c" d", "theme": "B"}}\n'
    )
    assert [row["theme"] for row in rows(repair(tmp_path, body))] == ["A", "B"]


def test_arrays_over_many_lines_and_in_one_very_long_line(tmp_path):
    source = random.Random(4)
    made = [make_row(source) for _ in range(4000)]
    for text in (
        json.dumps(made, indent=2),
        json.dumps(made),
        json.dumps(made).replace("}, ", "},"),
    ):
        assert len(text) > BLOCK
        assert rows(repair(tmp_path, text)) == made


def test_a_file_of_old_line_ends_is_one_line(tmp_path):
    line = f'{{{PROMPT}, "completion": "a "b""}}'
    assert len(rows(repair(tmp_path, f"{line}\r{line}\r"))) == 2


LETTERS = st.text(st.sampled_from("\"',:{}[]()\\ \n\tab.é“”’6!"), max_size=25)


@settings(max_examples=300)
@given(question=LETTERS, completion=LETTERS, quotes=st.booleans(), meta=st.booleans())
def test_a_text_comes_back_whole_or_its_line_is_reported(question, completion, quotes, meta):
    row = {"prompt": f"User: {question}\nAssistant:", "completion": completion}
    if meta:
        row["meta"] = {"id": "A"}
    (outcome,) = repair_lines([Line(1, unquoted(row, quotes), "\n")])
    if outcome.kind == "rejected":
        assert not (quotes and question.strip() and completion.strip())
    else:
        assert json.loads(outcome.text) == row


PIECES = [
    '{"prompt": "User: a\\nAssistant:", "completion": "b"}',
    '{"prompt": ',
    '"completion":',
    '"messages": [',
    '{"role": "user", "content": "',
    '{"instruction": "',
    '", "meta": {',
    "question,answer\n",
    "User:",
    "Assistant:",
    *("\n", "\r\n", "\\", '\\"', '"}', "}", "{", "[", "]", '"', ",", ":", "'", "“", "”", "  "),
    *("\x00", "\ud800", "null", "1e999"),
]
FRAGMENTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=25)


@settings(max_examples=300)
@given(FRAGMENTS)
def test_no_line_is_lost_whatever_comes(fragments):
    lines = "".join(fragments).split("\n")
    outcomes = list(repair_lines(Line(n, t, "\n") for n, t in enumerate(lines, start=1)))
    covered = {n for o in outcomes for n in range(o.first, o.last + 1)}
    assert covered == set(range(1, len(lines) + 1))
    for outcome in outcomes:
        if outcome.kind == "blank":
            assert not lines[outcome.first - 1].strip("\ufeff\0 \t\r\n")
        elif outcome.kind == "rejected":
            assert outcome.text
            assert outcome.reason
        elif outcome.text:
            row = json.loads(outcome.text)
            assert row["prompt"].startswith("User: ")
            assert row["prompt"].endswith("\nAssistant:")
            assert isinstance(row["completion"], str)


@pytest.mark.parametrize(
    "text",
    [
        '"' * 60_000,
        '{"prompt": "' + '" ' * 30_000,
        '{"prompt": ' + "," * 60_000,
        "{" * 60_000,
        '{"messages": [' * 5_000,
        '{"meta": [' + "{" * 60_000,
        '{"prompt": "' + " " * 60_000 + '"',
        '{"prompt": "a", ' * 4_000,
        '{"prompt": "a' + '"}' * 30_000 + "x",
        '{"a":\n' * 20_000,
        '{"prompt": "a"' + "\n}" * 20_000,
        "[" * 60_000,
        '{"prompt": "' + "\\" * 60_001,
    ],
)
def test_no_hang(text):
    list(repair_lines(Line(n, t, "\n") for n, t in enumerate(text.split("\n"), start=1)))


def test_a_file_is_mended_with_an_account(tmp_path, capsys):
    source, output = tmp_path / "in.jsonl", tmp_path / "new" / "out.jsonl"
    report = tmp_path / "report.json"
    good, broken = f'{{{PROMPT}, "completion": "a"}}', f'{{{PROMPT}, "completion": "a "b" c",}}'
    source.write_text(f'{good}\n\n{broken}\n{{{PROMPT}, "completion": "cut\n')
    assert cli.main(["data", "fix", str(source), "-o", str(output), "--report", str(report)]) == 1
    assert "in.jsonl:4: cut off" in capsys.readouterr().out
    assert output.read_text().splitlines()[0] == good
    assert find_problems(output)[1] == []
    assert Path(f"{output}.rejected").read_text() == f'{{{PROMPT}, "completion": "cut\n'
    said = json.loads(report.read_text())
    assert [(f["line"], f["outcome"]) for f in said["found"]] == [
        (2, "blank"), (3, "repaired"), (4, "rejected"),
    ]  # fmt: skip
    assert said["found"][1]["repairs"] == [
        "unescaped quotation marks in completion (2)",
        "trailing comma",
    ]
    assert said["summary"]["lines"] == 4
    assert said["summary"]["valid"] == 1


def test_repairs_are_shown_and_0_means_that_every_line_was_recovered(tmp_path, capsys):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f'{{{PROMPT} "completion": "a"}}\n')
    assert cli.main(["data", "fix", str(source), "-o", str(output)]) == 0
    assert "in.jsonl:1: missing comma" in capsys.readouterr().out
    assert not Path(f"{output}.rejected").exists()


def test_nothing_is_overwritten(tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(ROW)
    for path in (output, Path(f"{output}.rejected"), tmp_path / "r.json"):
        path.write_text("mine")
        with pytest.raises(DataError, match="exists already"):
            repair_file(source, output, tmp_path / "r.json")
        assert path.read_text() == "mine"
        path.unlink()
    with pytest.raises(DataError, match="exists already"):
        repair_file(source, source)
    with pytest.raises(DataError, match="two files"):
        repair_file(source, output, output)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_sources_that_are_none(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        repair_file(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="folder"):
        repair_file(tmp_path, tmp_path / "out")
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="empty"):
        repair_file(tmp_path / "empty", tmp_path / "out")


def test_an_interruption_leaves_nothing_behind(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text("x\ny\n")

    def interrupt(outcome: Outcome) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair_file(source, tmp_path / "out", tmp_path / "r.json", interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["in.jsonl"]


def test_what_stands_beside_an_object_is_told(tmp_path):
    (comma,) = repair(tmp_path, f'{{{PROMPT}, "completion": "a"}},\n')
    assert comma.repairs == ("comma or bracket beside the object",)
    (stray,) = repair(tmp_path, f'{{{PROMPT}, xy "completion": "a"}}\n')
    assert json.loads(stray.text) == {"prompt": Q, "completion": "a"}
    assert stray.repairs == ("stray characters before a key: 'xy'",)


def test_repairs_are_counted_by_kind():
    assert kind_of("unescaped quotation marks in completion (4)") == "unescaped quotation marks"
    assert kind_of("missing comma") == "missing comma"
    assert kind_of("stray characters before a key: ';'") == "stray characters"


def test_strict_json_is_not_touched_by_the_scanner():
    text = '{"prompt": "a", "completion": "}, {\'prompt\': 1}"}'
    (found,) = read_objects(text)
    assert found.row == json.loads(text)
    assert found.repairs == []


@pytest.mark.parametrize(
    "body",
    [
        '{"question": "Explain:\\nUser: hi", "answer": "b"}',
        '{"question": "", "answer": ""}',
        '{"prompt": "User: Why?\\nAssistant:", "completion": ""}',
        '{"prompt": "User:  \\nAssistant:", "completion": "So."}',
        "question,answer\nWhy?,\n",
        f'{{{PROMPT}, "completion": ""',
    ],
)
def test_no_row_is_called_mended_that_the_check_refuses(tmp_path, body):
    (outcome,) = [one for one in repair(tmp_path, body) if one.text]
    assert outcome.kind == "rejected"
    assert outcome.reason


def test_a_home_folder_in_quotation_marks_is_no_folder_named_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.jsonl").write_text(f'{{{PROMPT}, "completion": "So."}}\n')
    result = repair_file(Path("~/in.jsonl"), Path("~/zz/x.jsonl"), Path("~/report.json"))
    assert result.output == tmp_path / "zz" / "x.jsonl"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "report.json", "zz"]


def test_room_is_named_only_where_it_is_lacking(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{{PROMPT}, "completion": "So."}}\n')
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match=r"File exists\. .*Choose another place") as caught:
        repair_file(source, tmp_path / "file" / "x.jsonl")
    assert "space" not in str(caught.value)
