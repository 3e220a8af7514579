import json
import re
import runpy
from html import unescape
from pathlib import Path

import pytest

from theobot.bench.comparison import Verdict
from theobot.bench.report.files import write_report
from theobot.bench.report.model import Report, gains, losses, random_rows

FAKE = runpy.run_path(str(Path(__file__).parents[3] / "fake_report.py"))
make_report = FAKE["make_report"]


@pytest.fixture(scope="module")
def whole() -> Report:
    return make_report()


def test_three_files_that_are_the_same_for_the_same_report(tmp_path, whole):
    paths = write_report(tmp_path, whole)
    before = [path.read_bytes() for path in paths]
    write_report(tmp_path, whole)
    assert [path.read_bytes() for path in paths] == before
    assert [path.name for path in paths] == ["report.html", "report.md", "report.json"]


def test_the_page_is_small_and_asks_for_nothing(tmp_path):
    html = write_report(tmp_path, make_report(words=400))[0]
    page = html.read_text(encoding="utf-8")
    assert html.stat().st_size < 2_000_000
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert unescape(policy[1]).startswith("default-src 'none'")
    assert "unsafe" not in policy[1]
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)


def test_hostile_answers_stay_text(tmp_path, whole):
    row = whole.rows[0]._replace(base_text=FAKE["HOSTILE"], theobot_text=FAKE["HOSTILE"])
    html, markdown, raw = write_report(tmp_path, whole._replace(rows=[row, *whole.rows[1:]]))
    page = html.read_text(encoding="utf-8", errors="surrogatepass")
    assert "<script>document.title" not in page
    assert "\x1b" not in page
    assert "\x1b" not in markdown.read_text(encoding="utf-8")
    json.loads(raw.read_text(encoding="utf-8"))


def test_the_json_file_is_plain_and_holds_the_whole_report(tmp_path, whole):
    raw = write_report(tmp_path, whole)[2].read_text(encoding="utf-8")
    value = json.loads(raw, parse_constant=lambda name: pytest.fail(name))
    assert value == whole.to_json()


def test_a_report_of_little_is_a_report_too(tmp_path):
    for path in write_report(tmp_path, make_report(limit=2, bare=True)):
        assert path.stat().st_size > 500


@pytest.mark.parametrize("gain", [-1.5, 0.0, 1.0])
def test_the_words_follow_the_verdict(tmp_path, gain):
    report = make_report(gain=gain)
    markdown = write_report(tmp_path, report)[1].read_text(encoding="utf-8")
    assert report.decision.words in markdown
    assert re.search(r"Of 120 questions: \d+ better, \d+ equal, \d+ worse", markdown)


@pytest.mark.parametrize("cut", [False, True])
def test_more_questions_settle_nothing_while_answers_are_cut(tmp_path, whole, cut):
    sets = [
        one._replace(verdict=Verdict.CANNOT_TELL, more_questions=20, detectable=0.1, cut=cut)
        for one in whole.sets
    ]
    html, markdown, _ = write_report(tmp_path, whole._replace(sets=sets))
    for file in (html, markdown):
        told = file.read_text(encoding="utf-8")
        assert "20 more questions would settle" in told
        assert ("is kept, once answers are no longer cut." in told) is cut


def test_losses_gains_and_a_choice_that_nobody_made(whole):
    lost, won = losses(whole.rows), gains(whole.rows)
    assert [row.difference for row in lost] == sorted(row.difference for row in lost)
    assert all(row.difference > 0 for row in won)
    ten = [row.id for row in random_rows(whole.rows, 10)]
    assert ten == [row.id for row in random_rows(list(reversed(whole.rows)), 10)]
    assert len(ten) == 10


def test_what_people_gave_names_both_as_the_tables_do(tmp_path, whole):
    marks = FAKE["human_marks"]()
    marks["prefer"]["disagreements"] = [
        {"question_id": "q", "judged": {"M1": "base", "M2": "equal"}}
    ]
    report = whole._replace(marks=marks, arms=("Without verses", "With verses"))
    page = write_report(tmp_path, report)[1].read_text(encoding="utf-8")
    people = page.partition("## What people gave, blind")[2].partition("\n## ")[0]
    assert people.count("Without verses") >= 6
    assert "With verses" in people
    assert not re.search(r"\bbase\b|\btheobot\b", people)
    assert "| in-domain" in people.lower().partition("### marks of people by set")[2]
