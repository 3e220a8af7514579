from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from theobot.bench.answer_files import escape_markdown, write_answer_files, write_side_by_side
from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question

QUESTIONS = [
    Question("in-1", "in_domain", "What is *sin*?", 1, "Turning from <God>.", {}),
    Question("in-2", "in_domain", "Explain peace.", 4, None, {}),
    Question("out-1", "out_of_domain", "2 + 2?", None, None, {}),
]


def record(question: Question, arm: str, text: str, stop: str = "eos") -> AnswerRecord:
    return AnswerRecord(
        question.id, question.set, question.text, arm, "seed", "0", 32, text, stop, 7,
        "nano", None, None, {}, "0",
    )  # fmt: skip


RECORDS = [
    record(QUESTIONS[1], "theobot", "# Peace\n- is <b>good</b>", "length"),
    record(QUESTIONS[0], "base", "Bad deeds.\n\nAgainst God."),
    record(QUESTIONS[0], "theobot", ""),
    record(QUESTIONS[1], "base", "No war."),
]


def test_the_six_files_hold_id_question_and_answer_in_the_questions_order(tmp_path: Path):
    paths = write_answer_files(tmp_path, QUESTIONS, RECORDS)
    assert [path.name for path in paths] == [
        "base_in_domain.txt", "theobot_in_domain.txt", "base_near_domain.txt",
        "theobot_near_domain.txt", "base_out_of_domain.txt", "theobot_out_of_domain.txt",
    ]  # fmt: skip
    rule = "-" * 72
    assert paths[0].read_text() == (
        "[in-1]\nQuestion: What is *sin*?\nAnswer: Bad deeds.\n\nAgainst God.\n"
        f"{rule}\n[in-2]\nQuestion: Explain peace.\nAnswer: No war.\n{rule}\n"
    )
    assert "Answer: (no text)" in paths[1].read_text()
    assert paths[4].read_text() == ""


def test_the_page_shows_both_answers_and_the_reference_as_text(tmp_path: Path):
    page = write_side_by_side(tmp_path, QUESTIONS, RECORDS).read_text()
    assert page.index("### in-1 (1 mark)") < page.index("Bad deeds.") < page.index("(no text)")
    assert "> Turning from &lt;God&gt;." in page
    assert "**Theobot** (cut at 7 tokens)\n\n> \\# Peace  \n> \\- is &lt;b&gt;good" in page
    assert "**Theobot**: no answer yet." in page
    assert "Prompts: Theobot in the seed format, Base in the seed format" in page
    html = MarkdownIt("commonmark").render(page)
    assert "<b>" not in html
    assert len(re.findall("<h[1-6]>", html)) == 1 + 2 + 3


def test_files_are_the_same_bytes_whatever_the_order_of_records(tmp_path: Path):
    for name, records in (("one", RECORDS), ("two", RECORDS[::-1])):
        (tmp_path / name).mkdir()
        write_answer_files(tmp_path / name, QUESTIONS, records)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_no_answers_are_said_to_be_none(tmp_path: Path):
    assert "No answers yet." in write_side_by_side(tmp_path, QUESTIONS[2:], []).read_text()


PIECES = ["#", "-", "+", "1.", "2)", "*", "_", "`", "[a](b)", "<b>", "&amp;", "\\", "|", "~~", "=",
          "'", "$x$", "http://a.b", "www.a.b", "a@b.c", "    ", "\t", " ", "\n", "\n\n", "word",
          ">", "!", "\u2028", "\r", "---", "::", '"']  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_text_stays_text(text: str):
    parser = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    tokens = parser.parse("\n".join(f"> {line}" for line in escape_markdown(text).split("\n")))
    kinds = {token.type for token in tokens}
    assert kinds <= {"blockquote_open", "blockquote_close", "paragraph_open", "inline",
                     "paragraph_close"}  # fmt: skip
    inline = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inline} <= {"text", "softbreak", "text_special"}
    shown = "".join(child.content for child in inline)
    assert "".join(shown.split()) == "".join(text.split())


def test_addresses_are_no_links():
    assert escape_markdown("see http://a.b, www.a.b or a@b.c: no") == (
        "see http\\://a.b, www\\.a.b or a\\@b.c: no"
    )
