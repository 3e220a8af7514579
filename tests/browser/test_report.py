"""The report in real Chromium, opened from disk."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from theobot.bench.report.files import write_report

MOST_PAGES = 4
FAKE = runpy.run_path(str(Path(__file__).parents[1] / "fake_report.py"))

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    report = FAKE["make_report"]()
    hostile = report.rows[0]._replace(base_text=FAKE["HOSTILE"])
    folder = tmp_path_factory.mktemp("report")
    return write_report(folder, report._replace(rows=[hostile, *report.rows[1:]]))[0]


def opened(browser: Any, file: Path, **context: Any) -> tuple[Any, list[str], list[str]]:
    page = browser.new_context(**context).new_page()
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    return page, messages, requests


def serious_faults(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    faults = Axe().run(page).response["violations"]
    return [one["id"] for one in faults if one["impact"] in ("serious", "critical")]


def test_it_opens_silently(browser, page_file):
    page, messages, requests = opened(browser, page_file)
    page.wait_for_timeout(300)
    assert (messages, requests) == ([], [page_file.as_uri()])
    assert page.title() == "Base and Theobot on 386 questions"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser, tmp_path, scheme):
    report = FAKE["make_report"]()
    # All rows are built alike: some of each kind show all there is.
    file = write_report(tmp_path, report._replace(rows=report.rows[::12]))[0]
    assert serious_faults(opened(browser, file, color_scheme=scheme)[0]) == []


def test_without_javascript_the_verdict_and_all_questions_can_be_read(browser, page_file):
    page, messages, _ = opened(browser, page_file, java_script_enabled=False)
    assert "The fine-tune helped" in page.inner_text("body")
    # What is folded away opens without a script: it is a <details>.
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    text = page.inner_text("body")
    assert sum(row.question[:40] in text for row in FAKE["make_report"]().rows) >= 380
    assert messages == []


def test_it_fits_a_phone(browser, page_file):
    page, _, _ = opened(browser, page_file, viewport={"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_summary_prints_on_a_few_pages(browser, page_file, tmp_path):
    page, _, _ = opened(browser, page_file)
    page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes())
    assert 1 <= len(pages) <= MOST_PAGES
