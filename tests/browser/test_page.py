"""The page for teachers and pupils in real Chromium, before the real application."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from theobot.config import ServeSettings
from theobot.generation.generator import Arm
from theobot.generation.live import Update
from theobot.generation.scripted import ScriptedBatch, ScriptedGenerator
from theobot.serving.options import ServeOptions
from theobot.serving.records import Records
from theobot.serving.server import serving_in_thread

pytestmark = pytest.mark.browser

CODE = "maple-river"
JUSTICE = "What does Deuteronomy 24:17 teach about justice?"
ANSWERS = {
    "base": "Justice matters 😀, see Proverbs 45:2, **Genesis 1** and (Sahih Bukhari 99999).",
    "theobot": "It protects the *stranger* (Deuteronomy 24:17).\n\n1. First, Qur'an 4:135.\n"
    "2. Then Matthew 17:21; many give to a food bank.",
}
HOSTILE = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)> **bold"


class PausingBatch(ScriptedBatch):
    """Waits at the word PAUSE until the test lets it go on."""

    def step(self) -> list[Update]:
        updates = super().step()
        if any("PAUSE" in update.piece for update in updates):
            assert self._generator.go_on.wait(60), "no test let the answer go on"
        return updates


class Pausing(ScriptedGenerator):
    def __init__(self, *arms: Arm) -> None:
        super().__init__(self.say, arms)
        self.go_on = threading.Event()
        self.rendered: list[str] = []

    def say(self, question: str, arm: Arm) -> str:
        if question.startswith("Pause"):
            length = 150 if "long" in question else 1
            return f"{arm} begins {'here ' * length}PAUSE and ends."
        if question == "Hostile?":
            return HOSTILE
        if question == "Unsuitable?":
            return "The prophet Amos PAUSE asked how to make a bomb, and more."
        if "Do not answer this question yet" in question:
            return "- Who is named?\n- Why?\n\nWho had least power?"
        return ANSWERS[arm]

    def render(self, turns: Any, arm: Arm, prompt_format: Any = None) -> str:
        self.rendered = [turn.text for turn in turns]
        return super().render(turns, arm, prompt_format)

    def live_batch(self, most_rows: int) -> PausingBatch:
        return PausingBatch(self, most_rows)


@pytest.fixture(scope="module")
def generator() -> Pausing:
    return Pausing("base", "theobot")


@pytest.fixture(scope="module")
def server(generator: Pausing) -> Iterator[str]:
    with serving_in_thread(generator, ServeOptions(device="the processor (CPU)")) as address:
        yield address


@pytest.fixture(scope="module")
def school(generator: Pausing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    records = Records(tmp_path_factory.mktemp("records"), 7)
    options = ServeOptions(
        settings=ServeSettings(class_code=CODE), token="secret", per_client=1, records=records
    )
    with serving_in_thread(generator, options) as address:
        yield address


class Page:
    """A page with a record of everything that it asked for or complained about."""

    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.address = address
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(address)

    def again(self) -> Page:
        """As if it were opened anew, which takes a browser longer."""
        self.asked.clear()
        self.said.clear()
        self.page.set_viewport_size({"width": 1280, "height": 720})
        self.page.emulate_media(media="null")
        self.page.evaluate("localStorage.clear()")
        self.page.goto(self.address)
        return self.ready()

    def check(self) -> None:
        """It asked nobody but its own server, and complained of nothing."""
        own = self.address.partition("/#")[0]
        assert [url for url in self.asked if not url.startswith(own)] == []
        refused = re.compile(r"Failed to load resource: .* 4\d\d")
        assert [words for words in self.said if not refused.search(words)] == []

    def ready(self) -> Page:
        self.page.locator("#composer").wait_for()
        return self

    def ask(self, question: str, *switches: str, wait: bool = True) -> None:
        for switch in switches:
            self.page.check(f"#{switch}")
        self.page.fill("#question", question)
        self.page.keyboard.press("Enter")
        if wait:
            self.ended()

    def ended(self) -> str:
        """Wait until nothing is being written; gives the status line."""
        self.page.locator("#ask", has_text="Ask").wait_for()
        return str(self.page.inner_text("#status"))

    def read(self, place: str) -> str:
        return str(self.page.locator(place).last.inner_text())

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)


@contextmanager
def opened(browser: Any, address: str, **context: Any) -> Iterator[Page]:
    """A page of its own, for as long as the block lasts."""
    made = browser.new_context(**context)
    page = Page(made, address)
    yield page
    page.check()
    made.close()


@pytest.fixture(scope="module")
def one_page(browser: Any, server: str) -> Iterator[Page]:
    with opened(browser, server) as made:
        yield made


@pytest.fixture
def page(one_page: Page) -> Iterator[Page]:
    yield one_page.again()
    one_page.check()


def faults(page: Any) -> list[str]:
    """Serious accessibility faults that axe-core finds."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {[node['html'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_an_answer_comes_with_its_references_checked_and_their_words(page: Page):
    page.ask(JUSTICE)
    assert page.read("h2.asked") == JUSTICE
    assert page.read(".answer h3") == "Theobot"
    assert page.page.locator(".cite").all_inner_texts() == [
        "Deuteronomy 24:17 exists",
        "Qur'an 4:135 exists",
        "Matthew 17:21 not in all Bibles",
    ]
    assert page.read(".checked") == "3 references (2 exist, 1 not in all Bibles)."
    assert page.page.locator(".answer em").inner_text() == "stranger"
    assert page.page.locator(".answer ol > li").count() == 2
    verse = page.page.get_by_role("button", name="Deuteronomy 24:17 exists")
    panel = page.page.locator(f"#{verse.get_attribute('aria-controls')}")
    assert (verse.get_attribute("aria-expanded"), panel.is_visible()) == ("false", False)
    verse.click()
    assert (verse.get_attribute("aria-expanded"), panel.is_visible()) == ("true", True)
    assert "nor take the widow’s raiment to pledge" in panel.inner_text()
    assert "American Standard Version" in panel.inner_text()
    verse.click()
    assert not panel.is_visible()


def test_base_and_theobot_stand_side_by_side_and_below_each_other_on_a_phone(page: Page):
    page.ask(JUSTICE, "compare")
    assert page.page.locator(".answer h3").all_inner_texts() == ["Base model", "Theobot"]
    assert page.page.locator(".answer.base .cite").all_inner_texts() == [
        "Proverbs 45:2 does not exist",
        "Genesis 1 too broad",
        "Sahih Bukhari 99999 cannot verify",
    ]
    status = page.ended()
    assert status.startswith("Both have answered. Base model: 3 references (1 does not exist, ")
    base, tuned = (page.page.locator(f".answer.{arm}") for arm in ("base", "theobot"))
    assert base.bounding_box()["y"] == tuned.bounding_box()["y"]
    page.page.set_viewport_size({"width": 360, "height": 780})
    assert base.bounding_box()["y"] + base.bounding_box()["height"] <= tuned.bounding_box()["y"]
    page.page.get_by_role("button", name="Proverbs 45:2 does not exist").click()
    assert "Proverbs has 31 chapters" in page.read(".answer.base .verse:not([hidden])")


def test_a_reader_can_stop_an_answer_and_ask_again(page: Page, generator: Pausing):
    for stop in (
        lambda: page.page.keyboard.press("Escape"),
        lambda: page.page.get_by_role("button", name="Stop").click(),
    ):
        generator.go_on.clear()
        page.ask("Pause, please?", wait=False)
        answer = page.page.locator(".answer").last
        answer.filter(has_text="theobot begins").wait_for()
        assert page.page.get_attribute("#log", "aria-busy") == "true"
        stop()
        assert page.ended().startswith("Theobot was stopped.")
        generator.go_on.set()
        assert page.page.get_attribute("#log", "aria-busy") == "false"
        assert "You stopped this answer." in answer.inner_text()
        assert "ends" not in answer.inner_text()
    page.ask(JUSTICE)
    assert "food bank" in page.read(".answer")


def test_a_follow_up_carries_the_conversation_and_a_new_one_does_not(
    page: Page, generator: Pausing
):
    page.ask(JUSTICE)
    page.ask("Why?", "compare")
    assert generator.rendered in (["Why?"], [JUSTICE, ANSWERS["theobot"], "Why?"])
    assert "has not seen every earlier question" in page.read(".answer.base .remarks")
    assert page.page.locator(".answer.theobot .remark").count() == 0
    page.page.uncheck("#compare")
    page.ask("And then?")
    assert generator.rendered == [
        JUSTICE, ANSWERS["theobot"], "Why?", ANSWERS["theobot"], "And then?",
    ]  # fmt: skip
    page.page.click("#new")
    assert page.page.locator(".turn").count() == 0
    assert page.page.is_visible("#welcome")
    assert page.evaluate("document.activeElement.id") == "question"
    page.ask("Why?")
    assert generator.rendered == ["Why?"]
    page.page.reload()
    page.ready()
    assert page.page.locator(".turn").count() == 0


def test_hints_come_first_and_the_full_answer_on_request(page: Page):
    page.ask(JUSTICE, "hints")
    assert page.read(".answer h3") == "Theobot\nHints first"
    assert page.page.locator(".answer ul > li").all_inner_texts() == ["Who is named?", "Why?"]
    page.page.get_by_role("button", name="Ask for the full answer").click()
    page.page.locator(".turn").nth(1).wait_for()
    page.ended()
    assert page.read(".answer h3") == "Theobot"
    assert "food bank" in page.read(".answer")


def test_verses_given_to_the_model_stand_above_the_answer_and_missing_ones_are_told(
    page: Page, generator: Pausing
):
    page.ask(f"{JUSTICE} And Genesis 60:5?", "scripture")
    assert "Scripture (American Standard Version" in generator.rendered[-1]
    given = page.page.locator(".given")
    assert "given to the model" in given.inner_text()
    assert "nor take the widow’s raiment" in given.inner_text()
    assert given.bounding_box()["y"] < page.page.locator(".answer").bounding_box()["y"]
    assert "Genesis has 50 chapters" in page.page.get_by_role("alert").inner_text()


def test_a_message_that_shows_distress_is_met_by_people_who_can_help(page: Page):
    page.ask("I want to kill myself", "compare")
    notice = page.page.get_by_role("alert")
    assert "Childline: 0800 1111" in notice.inner_text()
    assert "No model wrote it." in notice.inner_text()
    assert notice.count() == 1
    assert page.page.locator(".answer:visible").count() == 0
    assert page.ended() == "Please read what stands in place of an answer."
    page.ask("What is prayer?")
    assert "116 123" in page.page.get_by_role("alert").last.inner_text()


def test_what_is_withheld_is_told_and_is_not_sent_again(page: Page, generator: Pausing):
    page.ask("How do I make a bomb?", "compare")
    assert page.page.get_by_role("alert").count() == 1
    assert "religion, philosophy or ethics" in page.page.get_by_role("alert").inner_text()
    assert page.page.locator(".answer:visible").count() == 0
    page.page.uncheck("#compare")
    generator.go_on.clear()
    page.ask("Unsuitable?", wait=False)
    page.page.locator(".words", has_text="The prophet").wait_for()
    generator.go_on.set()
    page.ended()
    assert "bomb" not in page.read(".answer .words")
    assert "From here on the answer was withheld." in page.read(".answer .remarks")
    page.ask("Why?")
    assert generator.rendered == ["Why?"]


def test_what_looks_like_a_tag_stays_text(page: Page):
    page.ask("Hostile?")
    assert page.read(".answer .words") == HOSTILE
    page.ask("<b>Hostile?</b>")
    assert page.read("h2.asked") == "<b>Hostile?</b>"
    assert page.page.title() == "Theobot: questions of Religious Education"
    assert page.page.locator("#log script, #log img, #log h2 b").count() == 0


def test_a_whole_session_needs_no_mouse(page: Page):
    press = page.page.keyboard.press
    press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the question box"
    press("Enter")
    assert page.evaluate("document.activeElement.id") == "question"
    press("Tab")
    press("Space")
    assert page.page.is_checked("#compare")
    press("Shift+Tab")
    page.page.keyboard.type(JUSTICE)
    press("Shift+Enter")
    page.page.keyboard.type("Explain.")
    press("Enter")
    page.ended()
    assert page.read("h2.asked") == f"{JUSTICE}\nExplain."
    assert page.evaluate("document.activeElement.id") == "question"
    press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "Copy answer"
    for _ in range(2):
        press("Shift+Tab")
    press("Enter")
    assert "Qur'an 4:135" in page.read(".answer.theobot .verse:not([hidden])")


def test_every_stop_of_the_tab_key_can_be_seen(page: Page):
    page.ask(JUSTICE)
    page.page.locator("#starters-fold").evaluate("(one) => { one.open = true; }")
    page.evaluate("document.activeElement.blur()")
    seen = """() => {
      const one = document.activeElement;
      const places = [one, one.closest(".switch"), one.closest(".box")].filter(Boolean);
      const shown = places.some((place) => getComputedStyle(place).outlineStyle === "solid");
      return [one === document.body, shown, one.outerHTML.slice(0, 80)];
    }"""
    stops = 0
    for _ in range(80):
        page.page.keyboard.press("Tab")
        at_end, shown, what = page.evaluate(seen)
        if at_end:
            break
        assert shown, what
        stops += 1
    assert stops > 30


def test_a_screen_reader_is_told_twice_an_answer_not_word_by_word(page: Page):
    page.evaluate("""() => {
      window.told = [];
      const line = document.querySelector("#status");
      const watch = new MutationObserver(() => window.told.push(line.textContent));
      watch.observe(line, {childList: true});
    }""")
    page.ask(JUSTICE)
    assert page.evaluate("window.told") == [
        "The answer is being written. Esc stops it.",
        "Theobot has answered. 3 references (2 exist, 1 not in all Bibles).",
    ]
    log = page.page.get_by_role("log", name="Conversation")
    assert (log.get_attribute("aria-live"), log.get_attribute("aria-busy")) == ("off", "false")
    assert page.page.get_by_role("textbox", name="Your question").count() == 1
    assert page.page.get_by_role("heading", level=2, name=JUSTICE).count() == 1
    assert page.evaluate("document.documentElement.lang") == "en-GB"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, server: str, scheme: str):
    with opened(browser, server, color_scheme=scheme) as page:
        page.ready()
        page.ask(f"{JUSTICE} And Genesis 60:5?", "hints", "scripture")
        page.page.uncheck("#hints")
        page.ask(JUSTICE, "compare")
        for cite in page.page.locator(".cite").all():
            cite.click()
        assert page.page.locator(".verse:visible").count() == 6
        page.page.locator("#starters-fold > summary").click()
        assert faults(page.page) == []


def test_it_fits_a_phone_and_a_page_at_double_size(browser: Any, server: str):
    phone = {"width": 360, "height": 740}
    with opened(browser, server, viewport=phone, has_touch=True, is_mobile=True) as page:
        page.ready()
        page.ask(JUSTICE, "compare", "scripture")
        for cite in page.page.locator(".cite").all():
            cite.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        overflowing = "[...document.querySelectorAll('main *, footer *')].filter((one) =>"
        overflowing += " one.checkVisibility() && one.getBoundingClientRect().right > 361"
        overflowing += " && !one.closest('.unseen')).map((one) => one.outerHTML.slice(0, 90))"
        assert page.evaluate(overflowing) == []
        page.page.set_viewport_size({"width": 640, "height": 400})
        assert page.evaluate("document.documentElement.scrollWidth") <= 640
        position = "getComputedStyle(document.querySelector('#composer')).position"
        assert page.evaluate(position) == "static"


def test_on_a_phone_the_button_that_stops_stays_in_view(
    browser: Any, server: str, generator: Pausing
):
    generator.go_on.clear()
    with opened(browser, server, viewport={"width": 360, "height": 500}) as page:
        page.ready()
        page.ask("Pause in a long answer?", wait=False)
        page.page.locator(".words", has_text="here " * 149).wait_for()
        box = page.page.get_by_role("button", name="Stop").bounding_box()
        assert 0 <= box["y"] <= 500 - box["height"]
        assert page.evaluate("document.activeElement.id") == "ask"
        generator.go_on.set()
        page.ended()


def test_questions_to_begin_with_are_filtered_and_fill_the_box(page: Page):
    assert page.page.locator(".theme").count() == 6
    page.page.select_option("#kind", "evaluate_12")
    assert page.read("#kind-count") == "2 questions"
    assert page.page.locator(".theme:visible").count() == 2
    starter = page.page.locator(".starter:visible").first
    text = starter.locator("span").last.inner_text()
    assert text.endswith("[12 marks]")
    starter.click()
    assert page.page.input_value("#question") == text
    assert page.evaluate("document.activeElement.id") == "question"


def test_only_the_choice_of_colours_is_kept_on_the_device(page: Page):
    page.ask(JUSTICE)
    stored = "[Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]"
    assert page.evaluate(stored) == [[], [], ""]
    assert "Nothing you type is stored." in page.read("#about .privacy")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.page.get_by_role("button", name="Dark colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    assert page.evaluate(stored) == [["theme"], [], ""]
    page.page.reload()
    assert page.ready().evaluate(paper) == dark
    page.page.get_by_role("button", name="Light colours").click()
    assert page.evaluate(stored) == [[], [], ""]


def test_an_answer_is_copied_as_it_was_written(browser: Any, server: str):
    with opened(browser, server, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.ready().ask(JUSTICE)
        for way in ("with a clipboard", "without one, as over plain http from elsewhere"):
            page.page.get_by_role("button", name="Copy answer of Theobot").click()
            page.page.locator("#status", has_text="The answer is copied.").wait_for()
            page.page.fill("#question", "")
            page.page.keyboard.press("Control+V")
            assert page.page.input_value("#question") == ANSWERS["theobot"], way
            page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
            page.evaluate("document.querySelector('#status').textContent = ''")


def test_print_shows_the_conversation_in_light_colours_and_nothing_to_press(page: Page):
    page.page.get_by_role("button", name="Dark colours").click()
    page.ask(JUSTICE)
    page.page.emulate_media(media="print")
    assert page.page.is_visible(".answer")
    assert "It can be wrong" in page.read("footer .print-only")
    for hidden in ("#composer", "#starters", "#about", ".actions", ".tools"):
        assert not page.page.locator(hidden).is_visible(), hidden
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(35, 39, 47)"


def test_nothing_moves_for_those_who_ask_for_that(browser: Any, server: str, generator: Pausing):
    generator.go_on.clear()
    with opened(browser, server, reduced_motion="reduce") as page:
        page.ready()
        page.ask("Pause, please?", wait=False)
        page.page.locator(".writing .state").wait_for()
        moving = "document.getAnimations().length"
        assert page.evaluate(moving) == 0
        page.page.emulate_media(reduced_motion="no-preference")
        assert page.evaluate(moving) > 0
        generator.go_on.set()
        page.ended()


def test_a_class_code_opens_the_page_and_the_record_is_announced(browser: Any, school: str):
    with opened(browser, school) as page:
        code = page.page.get_by_role("textbox", name="Class code")
        code.wait_for()
        assert not page.page.is_visible("#composer")
        assert page.evaluate("document.activeElement.id") == "gate-input"
        page.page.keyboard.type("wrong-code\n")
        problem = page.page.locator("#gate-problem", has_text="was not accepted")
        problem.wait_for()
        assert code.get_attribute("aria-invalid") == "true"
        assert faults(page.page) == []
        page.page.keyboard.type(f"{CODE}\n")
        page.ready()
        assert page.evaluate("document.activeElement.id") == "question"
        assert "7 days" in page.read("#about .privacy")
        assert "Nothing you type is stored" not in page.page.inner_text("body")
        page.ask(JUSTICE)
        assert "food bank" in page.read(".answer")
        stored = "[Object.keys(localStorage), Object.keys(sessionStorage).sort()]"
        assert page.evaluate(stored) == [[], ["class-code", "seat"]]


@pytest.mark.parametrize("quoted", ["secret", "%73ecret"])
def test_a_token_in_the_address_is_taken_out_of_it(browser: Any, school: str, quoted: str):
    with opened(browser, f"{school}/#token={quoted}") as page:
        page.ready()
        assert page.page.url == f"{school}/"
        page.ask(JUSTICE)
        assert "food bank" in page.read(".answer")


def test_a_class_code_takes_the_place_of_a_wrong_token_which_need_not_be_quoted(
    browser: Any, school: str
):
    with opened(browser, f"{school}/#token=50%wrong") as page:
        page.page.get_by_role("textbox", name="Class code").fill(CODE)
        with page.page.expect_request("**/about") as asked:
            page.page.get_by_role("button", name="Continue").click()
        page.ready()
        assert "authorization" not in asked.value.headers
        assert asked.value.headers["x-class-code"] == CODE


def test_a_server_with_a_token_asks_for_it(browser: Any):
    options = ServeOptions(settings=ServeSettings(max_new_tokens=4), token="secret")
    with (
        serving_in_thread(Pausing("base"), options) as address,
        opened(browser, address) as page,
    ):
        page.page.fill("#gate-input", "schlüssel 🔑")
        page.page.keyboard.press("Enter")
        page.page.locator("#gate-problem", has_text="are expected").wait_for()
        page.page.get_by_role("textbox", name="Access token").fill("secret")
        page.page.get_by_role("button", name="Continue").click()
        page.ready()
        # This one has the base model alone, and short answers.
        assert not page.page.is_visible("#compare-switch")
        assert "only the base model answers" in page.page.inner_text("#about")
        page.ask(JUSTICE)
        assert page.read(".answer h3") == "Base model"
        assert "The answer is cut off here." in page.read(".answer .remarks")


def test_too_many_at_a_time_is_told_with_a_button_that_waits(
    browser: Any, school: str, generator: Pausing
):
    generator.go_on.clear()
    with opened(browser, f"{school}/#token=secret") as page:
        page.page.clock.install()
        page.ready()
        page.ask("Pause, please?", "compare", wait=False)
        problem = page.page.locator(".problem:visible")
        problem.wait_for()
        button = problem.get_by_role("button")
        assert "1 answers at a time are the most" in problem.inner_text()
        assert re.fullmatch(r"Try again in [45] s", button.inner_text())
        assert button.is_disabled()
        generator.go_on.set()
        assert "gives no answer. 1 answers at a time" in page.ended()
        page.page.clock.run_for(6000)
        button.click()
        page.page.locator("#status", has_text="has answered").wait_for()
        assert problem.count() == 0
        assert page.page.locator(".words", has_text="PAUSE and ends.").count() == 2


def test_a_server_that_goes_away_is_told_in_plain_words(browser: Any, generator: Pausing):
    generator.go_on.clear()
    with serving_in_thread(generator) as address:
        made = browser.new_context()
        page = Page(made, address).ready()
        page.ask("Pause, please?", wait=False)
        page.page.locator(".words", has_text="theobot begins").wait_for()
        threading.Timer(0.05, generator.go_on.set).start()
    assert "The answer broke off." in page.ended()
    page.ask("Are you there?")
    assert "The server does not answer." in page.read(".answer .problem")
    assert page.page.get_by_role("button", name="Try again").count() == 2
    made.close()


def test_without_a_server_that_answers_the_page_says_so(browser: Any, server: str):
    made = browser.new_context()
    made.route("**/about", lambda route: route.abort())
    page = Page(made, server)
    page.page.locator("#offline", has_text="The server does not answer.").wait_for()
    made.unroute("**/about")
    page.page.get_by_role("button", name="Try again").click()
    page.ready()
    assert not page.page.is_visible("#offline")
    made.close()
