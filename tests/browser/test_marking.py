"""A marker's session in real Chromium: from the page on disk to the numbers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.comparison import compare
from theobot.bench.marking import marking
from theobot.bench.marking.server import MarkServer
from theobot.bench.marking.store import MarksStore
from theobot.bench.questions import Question

pytestmark = pytest.mark.browser

TARIFFS = {"q1": 1, "q2": 4, "q3": 6, "q4": 12, "q5": 5}
# What the marker in this test gives: the base's marks, then Theobot's.
GIVEN = {"q1": (0, 1), "q2": (2, 3), "q3": (3, 3), "q4": (6, 11), "q5": (4, 2)}
MARKUP = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bench"
    place.mkdir()
    points = [
        {"text": "Love of neighbour", "marks": 1, "accept": ["agape"]},
        {"text": "A fitting source", "marks": 2, "accept": []},
    ]
    questions = [
        Question(name, "in_domain", f"Question {name}?", marks, None,
                 {"series": "2016-2025" if marks == 5 else "2026+", "key_points": points,
                  "religions": ["Islam"], "cluster": name})
        for name, marks in TARIFFS.items()
    ]  # fmt: skip
    with (place / "questions.jsonl").open("w") as file:
        file.writelines(json.dumps(one._asdict()) + "\n" for one in questions)
    with (place / "answers.jsonl").open("w") as file:
        for one in questions:
            for arm, word in (("base", "first"), ("theobot", "second")):
                text = f"{one.id} {word}\n\n{MARKUP}"
                line = AnswerRecord(
                    one.id, one.set, one.text, arm, "seed", "0" * 64, 384, text, "eos", 9,
                    "Qwen/Qwen2.5-7B", None, None, {}, "p",
                )  # fmt: skip
                file.write(json.dumps(line._asdict()) + "\n")
    return place


PATIENCE = 60.0
"""Seconds; other work may hold a browser up."""


class Sheet:
    """A page with a record of everything that it asked for or complained about."""

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address)
        # `goto` may take the end of the empty page before this one for its own; keys that come
        # before the page listens would be lost.
        self.wait_for("#where", "of")

    def begin(self) -> None:
        self.press("Enter")
        self.page.locator("#welcome").wait_for(state="hidden", timeout=1000 * PATIENCE)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def read(self, place: str) -> str:
        return str(self.page.inner_text(place))

    def leave(self) -> None:
        """As people do. To close a page at once ends its process, sometimes before it has told the
        browser of its last words."""
        self.page.goto("about:blank")
        self.page.close()

    def wait_for(self, place: str, words: str) -> None:
        """Not by a function in the page: its policy forbids what Playwright needs for that."""
        self.page.locator(place, has_text=words).wait_for(timeout=1000 * PATIENCE)

    @property
    def which(self) -> tuple[str, int]:
        """Question of the answer shown, and 0 for the base's, 1 for Theobot's."""
        name, word = self.read("#answers .text").split("\n")[0].split()
        return name, int(word == "second")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "nothing came in time"
        time.sleep(0.02)


def faults(page: Any) -> list[str]:
    """Serious accessibility faults that axe-core finds."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {[node['html'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_ten_answers_by_keyboard_alone_give_the_numbers_of_a_hand_calculation(
    browser: Any, folder: Path, tmp_path: Path
):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context(accept_downloads=True)
    sheet = Sheet(context, file.as_uri())
    sheet.begin()
    for number in range(10):
        name, arm = sheet.which
        assert sheet.read("#where") == (
            f"Answer {number + 1} of 10, worth {TARIFFS[name]} mark{'s' * (TARIFFS[name] > 1)}"
        )
        for digit in str(GIVEN[name][arm]):
            sheet.press(digit)
        if arm == 0:
            sheet.press("b", "w", "n")
            sheet.page.keyboard.type("Needs a source. 7?")
            sheet.press("Escape")
        else:
            sheet.press("a", "b", "a")
        sheet.press("Enter")
    assert sheet.page.is_visible("#done")
    assert sheet.read("#count") == "10 of 10 marked, all marked"
    with sheet.page.expect_download() as download:
        sheet.press("Enter")
    saved = tmp_path / "saved.json"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "marks-anna-mark.json"
    assert sheet.page.title() == "Blind marking"
    assert [url for url in sheet.asked if not url.startswith("blob:")] == [file.as_uri()]
    assert sheet.said == []
    context.close()

    entries = json.loads(saved.read_text())["entries"]
    assert len(entries) == 10
    assert sorted(map(len, (entry["points"] for entry in entries))) == [1] * 10

    result = marking.close(folder, [saved])
    mark = result.mark
    assert mark is not None
    assert [(row.tariff, row.n, row.base, row.theobot) for row in mark.tariffs] == [
        (tariff, 1, *GIVEN[name])
        for name, tariff in sorted(TARIFFS.items(), key=lambda one: one[1])
    ]
    [found] = mark.comparisons
    base, theobot = [0, 2 / 4, 3 / 6, 6 / 12, 4 / 5], [1, 3 / 4, 3 / 6, 11 / 12, 2 / 5]
    assert found.base == pytest.approx(2.3 / 5)
    assert found.theobot == pytest.approx((1 + 0.75 + 0.5 + 11 / 12 + 0.4) / 5)
    by_hand = compare("in_domain", "marks by people", base, theobot, list(TARIFFS),
                      margin=0.05, seed=result.seed)  # fmt: skip
    assert found.difference == pytest.approx(by_hand.difference)
    assert (found.better, found.equal, found.worse) == (3, 1, 1)
    assert found.p == by_hand.p
    assert mark.wrong["base"].successes == 5
    assert mark.wrong["theobot"].successes == 0
    assert {one.text for one in result.comments} == {"Needs a source. 7?"}
    assert 0 < mark.markers[0].minutes < 5


def test_marks_outlive_the_page_and_a_saved_file_can_be_loaded(
    browser: Any, folder: Path, tmp_path: Path
):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context(accept_downloads=True)
    sheet = Sheet(context, file.as_uri())
    sheet.begin()
    sheet.press("1", "Enter", "1", "Enter", "0")
    # Seen before the tab is left, as people do: a browser needs a moment to keep what was written.
    sheet.wait_for("#count", "3 of 10")
    sheet.leave()
    again = Sheet(context, file.as_uri())
    assert not again.page.is_visible("#welcome")
    assert again.read("#count").startswith("3 of 10 marked")
    # It opens where it was left, with the mark that was not yet followed by Enter.
    assert again.read("#where").startswith("Answer 3 of 10")
    assert again.page.is_checked("input[name=marks][value='0']")
    with again.page.expect_download() as download:
        again.press("s")
    saved = tmp_path / "saved.json"
    download.value.save_as(saved)
    context.close()

    elsewhere = browser.new_context()
    other = Sheet(elsewhere, file.as_uri())
    other.begin()
    other.page.set_input_files("#load", saved)
    other.wait_for("#count", "3 of 10")
    assert other.read("#status") == "Loaded 3 judgements."
    wrong = tmp_path / "wrong.json"
    for content, words in (("{", "no file of saved marks"),
                           (saved.read_text().replace("Anna", "Ben"), "another page")):  # fmt: skip
        wrong.write_text(content)
        other.page.set_input_files("#load", wrong)
        other.wait_for("#status", words)
    assert other.said == []
    elsewhere.close()


def test_two_tabs_of_a_page_lose_no_mark_of_each_other(browser: Any, folder: Path, tmp_path: Path):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context(accept_downloads=True)
    older, newer = Sheet(context, file.as_uri()), Sheet(context, file.as_uri())
    newer.begin()
    newer.press(*["1", "Enter"] * 3, "0")
    newer.wait_for("#count", "4 of 10")
    # The older tab hears of it, and adds its own.
    older.wait_for("#count", "4 of 10")
    newer.leave()
    older.begin()
    older.press(*["ArrowRight"] * 4, "1", "Enter")
    older.wait_for("#count", "5 of 10")
    older.leave()
    again = Sheet(context, file.as_uri())
    assert again.read("#count").startswith("5 of 10")
    with again.page.expect_download() as download:
        again.press("s")
    download.value.save_as(tmp_path / "saved.json")
    entries = json.loads((tmp_path / "saved.json").read_text())["entries"]
    assert [entry["marks"] for entry in entries] == [1, 1, 1, 0, 1]
    assert len({entry["card"] for entry in entries}) == 5
    assert again.said == older.said == newer.said == []
    context.close()


def test_a_tab_that_heard_nothing_of_another_writes_over_none_of_its_marks(
    browser: Any, folder: Path
):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context()
    context.add_init_script(
        "window.addEventListener('storage', (event) => event.stopImmediatePropagation(), true);"
    )
    older, newer = Sheet(context, file.as_uri()), Sheet(context, file.as_uri())
    newer.begin()
    newer.press(*["1", "Enter"] * 3)
    newer.wait_for("#count", "3 of 10")
    newer.leave()
    assert older.read("#count").startswith("0 of 10")
    older.begin()
    older.press(*["ArrowRight"] * 3, "1", "Enter")
    older.wait_for("#count", "1 of 10")
    older.leave()
    assert Sheet(context, file.as_uri()).read("#count").startswith("4 of 10")
    context.close()


def test_a_mark_can_be_corrected_and_the_earlier_one_is_kept(
    browser: Any, folder: Path, tmp_path: Path
):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context(accept_downloads=True)
    sheet = Sheet(context, file.as_uri())
    sheet.begin()
    sheet.press("0", "Enter", "ArrowLeft", "1", "ArrowRight", "ArrowLeft", "ArrowRight")
    with sheet.page.expect_download() as download:
        sheet.press("s")
    download.value.save_as(tmp_path / "saved.json")
    entries = json.loads((tmp_path / "saved.json").read_text())["entries"]
    assert [entry["marks"] for entry in entries] == [0, 1]
    assert entries[0]["at"] < entries[1]["at"]
    context.close()


def test_keys_say_what_they_cannot_do(browser: Any, folder: Path):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context()
    sheet = Sheet(context, file.as_uri())
    sheet.begin()
    while sheet.which[0] != "q2":
        sheet.press("ArrowRight")
    here = sheet.read("#where")
    sheet.press("Enter")
    assert sheet.read("#status").startswith("Give marks first")
    sheet.press("9")
    assert sheet.read("#status") == "At most 4 marks here."
    assert sheet.read("#where") == here
    sheet.press("+", "+", "-")
    assert sheet.page.is_checked("input[name=marks][value='0']")
    sheet.press("?")
    assert sheet.page.is_visible("#help")
    # Without single-key shortcuts a digit does nothing, and everything can still be reached.
    sheet.press("Shift+Tab", "Space", "Escape", "3")
    assert not sheet.page.is_visible("#help")
    assert sheet.page.is_checked("input[name=marks][value='0']")
    sheet.press("Tab")
    assert sheet.page.evaluate("document.activeElement.name") == "marks"
    sheet.press("ArrowRight", "ArrowRight")
    assert sheet.page.is_checked("input[name=marks][value='2']")
    sheet.press("Enter")
    assert sheet.read("#where") != here
    assert sheet.said == []
    context.close()


def test_comparing_works_by_keyboard(browser: Any, folder: Path, tmp_path: Path):
    [file] = marking.pack(folder, ["Anna"], "prefer")
    context = browser.new_context(accept_downloads=True)
    sheet = Sheet(context, file.as_uri())
    sheet.begin()
    for number in range(5):
        texts = sheet.page.locator("#answers .text").all_inner_texts()
        name = texts[0].split()[0]
        ours = "12"[texts[1].startswith(f"{name} second")]
        theirs = "21"[texts[1].startswith(f"{name} second")]
        base, theobot = GIVEN[name]
        sheet.press("3" if base == theobot else ours if theobot > base else theirs, "5", "Enter")
        assert number == 4 or sheet.read("#where").startswith(f"Pair {number + 2} of 5")
    with sheet.page.expect_download() as download:
        sheet.press("Enter")
    download.value.save_as(tmp_path / "saved.json")
    context.close()
    found = marking.close(folder, [tmp_path / "saved.json"]).prefer
    assert found is not None
    assert (found.wins, found.losses, found.equal, found.poor) == (3, 1, 1, 0)
    assert found.why == {"theobot": {"task": 3}, "base": {"task": 1}}


@pytest.mark.parametrize("mode", ["mark", "prefer"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_fault(browser: Any, folder: Path, mode: Any, scheme: str):
    [file] = marking.pack(folder, ["Anna"], mode)
    context = browser.new_context(color_scheme=scheme)
    sheet = Sheet(context, file.as_uri())
    assert faults(sheet.page) == []
    sheet.begin()
    sheet.press("ArrowRight", "1")
    if mode == "mark":
        sheet.press("o", "a", "w")
    sheet.page.click("#overview summary")
    assert faults(sheet.page) == []
    sheet.press("?")
    assert faults(sheet.page) == []
    assert sheet.said == []
    context.close()


@pytest.mark.parametrize("mode", ["mark", "prefer"])
def test_it_fits_a_phone_and_works_by_touch(browser: Any, folder: Path, mode: Any):
    [file] = marking.pack(folder, ["Anna"], mode)
    context = browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    sheet = Sheet(context, file.as_uri())
    sheet.page.tap("#welcome [data-close]")
    sheet.page.tap("#sheet .face >> nth=1")
    sheet.page.tap("#next")
    assert sheet.read("#where").split(",")[0].endswith("2 of 10" if mode == "mark" else "2 of 5")
    width = sheet.page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= 360
    assert sheet.said == []
    context.close()


def test_a_browser_that_keeps_nothing_says_so_and_still_saves(
    browser: Any, folder: Path, tmp_path: Path
):
    [file] = marking.pack(folder, ["Anna"])
    context = browser.new_context(accept_downloads=True)
    context.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });"
    )
    sheet = Sheet(context, file.as_uri())
    assert "keeps nothing" in sheet.read("#status")
    sheet.begin()
    sheet.press("1", "Enter")
    with sheet.page.expect_download() as download:
        sheet.press("s")
    download.value.save_as(tmp_path / "saved.json")
    assert len(json.loads((tmp_path / "saved.json").read_text())["entries"]) == 1
    assert sheet.said == []
    context.close()


def test_the_served_page_saves_as_one_goes_and_catches_up_after_a_break(browser: Any, folder: Path):
    with marking.open_session(folder) as store:
        data = marking.assigned_page(folder, store, "Anna", "mark")
    path = folder / "marking" / "marks.sqlite"

    def saved() -> int:
        with MarksStore(path) as opened:
            return len(opened.judgements("mark"))

    def run(port: int = 0) -> tuple[MarkServer, Callable[[], None]]:
        server = MarkServer(path, data, port)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server, stop

    server, stop = run()
    context = browser.new_context()
    sheet = Sheet(context, server.address)
    sheet.begin()
    sheet.press("1", "Enter", "1", "Enter")
    until(lambda: saved() == 2)
    sheet.wait_for("#status", "Saved on this computer")
    assert {url.rsplit("/", 1)[0] + "/" for url in sheet.asked} == {server.address}
    assert sheet.said == []
    assert faults(sheet.page) == []

    stop()
    sheet.press("1", "Enter")
    sheet.wait_for("#status", "Not saved yet")
    assert saved() == 2
    # The same port is the same place to the browser, whatever the token.
    server, stop = run(server.server_port)
    back = Sheet(context, server.address)
    until(lambda: saved() == 3)
    assert back.read("#count").startswith("3 of 10")
    assert back.said == []
    context.close()
    stop()
