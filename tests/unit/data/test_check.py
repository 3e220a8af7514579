import json

import pytest

from theobot.config import TokenSettings
from theobot.data.check import check_examples, check_file, cited_by
from theobot.data.examples import Example
from theobot.data.findings import Finding, Severity
from theobot.model.base import load_tokenizer


def example(question: str, answer: str, where: str = "a.jsonl:1", **meta: object) -> Example:
    return Example(f"User: {question}\nAssistant:", answer, meta, where)


def findings(*examples: Example) -> list[Finding]:
    return check_examples(examples, cited_by(examples))


def found(*examples: Example) -> list[tuple[str, str, str]]:
    return [(one.where, one.severity.value, one.kind) for one in findings(*examples)]


def test_a_citation_that_does_not_exist_is_an_error():
    assert found(example("Why?", "Genesis 60:5 says so.")) == [("a.jsonl:1", "error", "citation")]
    assert found(example("Explain Genesis 60:5.", "So.")) == [("a.jsonl:1", "error", "citation")]


def test_a_row_that_declines_may_name_what_does_not_exist():
    good = "There is no Galatians 7:2. " + "Galatians 3:28 is about unity, which differs. " * 8
    assert found(example("What does Galatians 7:2 say?", good, qtype="cannot_verify")) == []
    invented = good + "See Jude 4:1."
    row = example("What does Galatians 7:2 say?", invented, qtype="cannot_verify")
    assert found(row) == [("a.jsonl:1", "error", "citation")]


def test_a_quotation_that_differs_and_a_saying_are_warnings():
    wrong = 'Matthew 5:9 says "Ye are the light of the world. A city set on a hill cannot be hid".'
    assert found(example("Why?", wrong)) == [("a.jsonl:1", "warning", "quotation")]
    saying = "The Bible says that God helps those who help themselves."
    assert found(example("Why?", saying)) == [("a.jsonl:1", "warning", "not_scripture")]


def test_metadata_and_text_must_agree():
    row = example(
        "Explain it. [4 marks]",
        "Romans 12:21 says so.",
        theme="Z",
        qtype="essay",
        religions=["Jedi"],
        marks=6,
        citations=[{"corpus": "bible", "ref": "Romans 12:17"}],
    )
    messages = [one.message for one in findings(row) if one.kind == "metadata"]
    assert len(messages) == 6
    told = " ".join(messages)
    for part in ("'Z'", "'essay'", "'Jedi'", "gives 4 marks", "lacks it", "does not cite it"):
        assert part in told


def test_law_needs_a_date_and_a_discussion_two_views():
    law = "Under the Equality Act 2010 this is unlawful."
    assert found(example("Why?", law, theme="F")) == [("a.jsonl:1", "warning", "metadata")]
    assert found(example("Why?", law, theme="F", as_of="2026-11")) == []
    one = "Some agree, whereas others differ. " + "word " * 74 + "."
    row = example("Why?", one, qtype="explain_4_different", views=[{"holder": "some"}])
    assert found(row) == [("a.jsonl:1", "warning", "one_view")]


def test_repeated_and_nearly_repeated_rows_are_told_with_the_earlier_one():
    long = "Many Sikhs share food with everyone in the langar because all are equal before God."
    rows = [
        example("Why do many Sikhs keep a free kitchen for everybody in a gurdwara?", long, "a:1"),
        example("why do many Sikhs keep a free kitchen for everybody in a Gurdwara", long, "a:2"),
        example(
            "Why do many Sikhs keep a free kitchen for everybody in gurdwaras?", "Sharing.", "a:3"
        ),
        example("Who eats there?", long.replace("Many", "Most"), "a:4"),
    ]
    told = [(one.where, one.kind) for one in findings(*rows)]
    assert ("a:2", "repeated") in told
    assert ("a:3", "near_duplicate") in told
    assert ("a:4", "near_duplicate") in told
    assert not [where for where, _ in told if where == "a:1"]


def test_the_same_task_on_another_topic_is_no_near_duplicate():
    stem = "Explain two similar religious beliefs about {}. Refer to Christianity and one other "
    stem += "religious tradition. [4 marks]"
    rows = [example(stem.format(topic), "x", topic) for topic in ("euthanasia", "forgiveness")]
    assert [one.kind for one in findings(*rows) if one.kind == "near_duplicate"] == []


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"prompt": "User: What is a vow?\nAssistant:", "completion": "A promise."},
        {"prompt": "What is a vow?", "completion": "A promise."},
        {"prompt": "User: Why?\nAssistant:", "completion": "word " * 300 + "."},
        {"prompt": "User: And?\nAssistant:", "completion": " "},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text + '{"prompt": "User: "broken"}\n', encoding="utf-8")
    return path


def test_a_file_is_told_whole_in_the_order_of_its_lines(file):
    checked = check_file(file, load_tokenizer("nano"), TokenSettings(max_length=128))
    told = [(one.where, one.kind, one.severity) for one in checked.findings]
    assert told == [
        ("rows.jsonl:2", "format", Severity.ERROR),
        ("rows.jsonl:3", "too_long", Severity.ERROR),
        ("rows.jsonl:4", "empty", Severity.ERROR),
        ("rows.jsonl:5", "format", Severity.ERROR),
    ]
    assert checked.count(Severity.ERROR) == 4
    assert checked.summary["rows"] == 2
    assert sum(checked.summary["tokens"].values()) == 2
    assert checked.as_json()["findings"][0]["severity"] == "error"


def test_counts_follow_the_metadata(tmp_path):
    path = tmp_path / "rows.jsonl"
    meta = [
        {"theme": "A", "qtype": "define", "religions": ["Islam"]},
        {"theme": "A", "qtype": "define", "religions": ["Islam", "Sikhism"]},
        {"theme": "B", "qtype": "short_1", "religions": ["Islam", "Sikhism", "Judaism"]},
    ]
    rows = [
        {"prompt": f"User: Q{n}?\nAssistant:", "completion": "Qur'an 2:256.", "meta": one}
        for n, one in enumerate(meta)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    summary = check_file(path).summary
    assert summary["themes"] == {"A": 2, "B": 1}
    assert summary["religions"] == {"Islam": 1.5, "Sikhism": 0.5, "comparative": 1}
    assert summary["citations"] == {"quran": 3}
