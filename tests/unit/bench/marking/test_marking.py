from __future__ import annotations

import json
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theobot.bench.answers import AnswerRecord
from theobot.bench.comparison import compare
from theobot.bench.marking import marking
from theobot.bench.marking.guides import guide_for
from theobot.bench.marking.pack import embedded_json, page_part
from theobot.bench.questions import Question
from theobot.bench.statistics import wilson
from theobot.errors import RunError, SettingsError

ADAPTER = "c0ffee" * 10 + "dead"
MODEL = "Qwen/Qwen2.5-7B-Instruct"
THEMES = "ABCDEF"

Judge = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


def question(number: int, name: str = "in_domain", marks: int | None = 4) -> Question:
    points = [{"text": f"Point {n}", "marks": 1, "accept": ["other words"]} for n in range(2)]
    meta = {"theme": THEMES[number % 6], "qtype": "explain_4_similar", "key_points": points,
            "cluster": f"verse {number}", "religions": ["Islam"], "series": "2026+"}  # fmt: skip
    return Question(f"{name}-{number}", name, f"Question {name} {number}?", marks, None, meta)


def record(asked: Question, arm: str, text: str) -> dict[str, Any]:
    known = {
        "id": asked.id, "set": asked.set, "question": asked.text, "arm": arm, "text": text,
        "prompt_format": "seed", "prompt_sha256": "0", "max_new_tokens": 192, "new_tokens": 77,
        "stop_reason": "eos", "model": MODEL, "adapter_sha256": ADAPTER,
        "adapter_config_sha256": ADAPTER[::-1], "decoding": {"device": "cpu"}, "plan": "p" * 64,
    }  # fmt: skip
    return dict.fromkeys(AnswerRecord._fields) | known


def make_folder(
    folder: Path, questions: Sequence[Question], texts: Mapping[str, tuple[str, str]] | None = None
) -> Path:
    """A benchmark whose answers say "<id> one" (the base's) and "<id> two" (Theobot's)."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(asked._asdict()) + "\n" for asked in questions]
    (folder / "questions.jsonl").write_text("".join(lines))
    with (folder / "answers.jsonl").open("w") as file:
        for asked in questions:
            both = (texts or {}).get(asked.id, (f"{asked.id} one", f"{asked.id} two"))
            for arm, text in zip(("base", "theobot"), both, strict=True):
                file.write(json.dumps(record(asked, arm, text)) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "bench", [question(n) for n in range(6)])


def page_data(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(
        text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    )
    return found


def fill(page: Path, judge: Judge, file: Path, start: int = 0) -> Path:
    """What the page saves when a marker judges the cards as `judge` does; None skips a card."""
    data = page_data(page)
    entries = []
    for number, card in enumerate(data["cards"]):
        given = judge(card)
        if given is not None:
            entry = {"id": f"{hash((data['marker'], start + number)) % 16**16:020x}",
                     "card": card["id"], "at": f"2026-01-02T10:{number % 60:02d}:00.000Z",
                     "ms": 30_000}  # fmt: skip
            entries.append(entry | dict(given))
    head = {key: data[key] for key in ("format", "session", "marker", "mode")}
    file.write_text(json.dumps(head | {"saved": "2026-01-02T11:00:00.000Z", "entries": entries}))
    return file


def better_for_theobot(card: Mapping[str, Any]) -> dict[str, Any]:
    """Theobot's answers get 3 of 4 marks, the base's as many as their number is odd."""
    text = card["answers"][0]
    number = int(text.split("-")[1].split()[0])
    return {"marks": 3 if text.endswith("two") else number % 2}


def prefer(choice: Callable[[str, str], str]) -> Judge:
    return lambda card: {"choice": choice(*card["answers"])}


def for_theobot(left: str, right: str) -> str:
    return "left" if left.endswith("two") else "right"


# The pack


def test_a_pack_says_nothing_of_whose_answer_is_whose(folder: Path):
    pages = marking.pack(folder, ["anna", "ben"], "mark", None, 5)
    pages += marking.pack(folder, ["anna"], "prefer")
    key = json.loads((folder / "marking" / "blind_key.json").read_text())
    for page in pages:
        octets = page.read_bytes().lower()
        for word in (b"theobot", b"base", b"qwen", MODEL.lower().encode(), ADAPTER.encode(),
                     ADAPTER[::-1].encode(), key["secret"].encode(), b"repeat_of"):  # fmt: skip
            assert word not in octets, word
        for answer in key["answers"]:
            assert answer.encode() not in octets
        for card in page_data(page)["cards"]:
            assert set(card) == {"id", "question", "marks", "guide", "points", "reference",
                                 "tradition", "answers"}  # fmt: skip


def test_the_key_lies_apart_and_is_its_owners_alone(folder: Path):
    [page] = marking.pack(folder, ["anna"])
    key = folder / "marking" / "blind_key.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert page.parent != key.parent
    assert [path.name for path in page.parent.iterdir()] == ["anna.html"]
    told = json.loads(key.read_text())["answers"].values()
    assert sorted(map(tuple, told)) == sorted(
        (f"in_domain-{n}", arm) for n in range(6) for arm in ("base", "theobot")
    )


def test_the_store_alone_does_not_tell_the_arms(folder: Path):
    marking.pack(folder, ["anna"])
    octets = (folder / "marking" / "marks.sqlite").read_bytes()
    assert b"theobot" not in octets
    assert b"base" not in octets


def test_packing_again_writes_the_same_page_and_adds_markers_and_modes(folder: Path):
    [first] = marking.pack(folder, ["Anna"], "mark", None, 5)
    octets = first.read_bytes()
    again, second = marking.pack(folder, ["anna", "Ben B."])
    assert again == first
    assert again.read_bytes() == octets
    assert second.name == "ben-b.html"
    [compared] = marking.pack(folder, ["Ben B."], "prefer")
    assert compared.name == "ben-b-prefer.html"
    assert len(page_data(compared)["cards"]) == 6


def test_the_first_marker_gets_all_and_the_others_what_is_shared(tmp_path: Path):
    questions = [question(n, name) for name in ("in_domain", "near_domain", "out_of_domain")
                 for n in range(40)]  # fmt: skip
    folder = make_folder(tmp_path / "bench", questions)
    pages = marking.pack(folder, ["anna", "ben", "cara"], seed=1)
    counts = [len(page_data(page)["cards"]) for page in pages]
    assert counts == [132, 26, 26]
    asked = [{card["question"] for card in page_data(page)["cards"]} for page in pages]
    assert asked[1] == asked[2] < asked[0]


def test_another_sample_or_seed_needs_a_new_session(folder: Path):
    marking.pack(folder, ["anna"], "mark", None, 5)
    marking.pack(folder, ["anna"], "mark", None, 5)
    with pytest.raises(SettingsError) as caught:
        marking.pack(folder, ["anna"], "mark", 10, 6)
    assert "--sample 10: this marking was begun with the default" in str(caught.value)
    assert "--seed 6: this marking was begun with 5" in str(caught.value)


def test_changed_answers_or_a_foreign_key_are_refused(folder: Path, tmp_path: Path):
    marking.pack(folder, ["anna"])
    make_folder(folder, [question(n) for n in range(6)], {"in_domain-2": ("new", "newer")})
    with pytest.raises(RunError, match="the answers have changed"):
        marking.pack(folder, ["anna"])
    make_folder(folder, [question(n) for n in range(6)])
    key = folder / "marking" / "blind_key.json"
    kept = key.read_text()
    for damaged in (kept.replace('"session": "', '"session": "0'), "{}", '{"answers": []}'):
        key.write_text(damaged)
        with pytest.raises(RunError, match="not the key of this session"):
            marking.pack(folder, ["anna"])
    key.unlink()
    with pytest.raises(RunError, match="no such file"):
        marking.pack(folder, ["anna"])


def test_what_was_cut_off_before_the_session_was_written_begins_anew(folder: Path):
    (folder / "marking").mkdir()
    (folder / "marking" / "blind_key.json").write_text("{}")
    (folder / "marking" / ".blind_key.json.tmp").write_text("half")
    [page] = marking.pack(folder, ["anna"])
    assert len(page_data(page)["cards"]) == 12


def test_equal_answers_are_not_shown_and_those_that_name_their_model_not_drawn(tmp_path: Path):
    texts = {"in_domain-0": ("Same", "Same "), "in_domain-1": ("I am Qwen.", "Peace")}
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(4)], texts)
    [page] = marking.pack(folder, ["anna"])
    asked = {card["question"] for card in page_data(page)["cards"]}
    assert asked == {"Question in_domain 2?", "Question in_domain 3?"}
    same = {"in_domain-0": ("A", "A")}
    with pytest.raises(RunError, match="Draw more with --sample"):
        marking.pack(make_folder(tmp_path / "other", [question(0)], same), ["anna"])


def test_wrong_settings_are_told_together(folder: Path):
    with pytest.raises(SettingsError) as caught:
        marking.pack(folder, ["a/b", "Anna"], "guess", 0)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3
    with pytest.raises(SettingsError, match="too like"):
        marking.pack(folder, ["Anna", "anna"])
    with pytest.raises(SettingsError, match="No marker"):
        marking.pack(folder, [])
    assert not (folder / "marking").exists()


def test_a_folder_with_answers_alone_can_be_marked(tmp_path: Path):
    bare = Question("q1", "out_of_domain", "Why?", None, None, {})
    folder = make_folder(tmp_path / "bench", [bare])
    (folder / "questions.jsonl").unlink()
    [page] = marking.pack(folder, ["anna"])
    first = page_data(page)["cards"][0]
    assert (first["question"], first["marks"], first["points"]) == ("Why?", 4, [])
    result = marking.close(folder, [fill(page, lambda card: {"marks": 4}, tmp_path / "m.json")])
    assert result.mark is not None
    assert [row[:2] for row in result.mark.tariffs] == [(4, 1)]


def test_nothing_to_mark_is_told(tmp_path: Path):
    folder = make_folder(tmp_path / "bench", [])
    with pytest.raises(RunError, match="answered by both arms"):
        marking.pack(folder, ["anna"])
    with pytest.raises(RunError, match="theobot mark pack"):
        marking.close(folder)
    assert marking.result(folder) is None


@given(st.text() | st.sampled_from(["</script><b>", "<!--", "{{data}}", "\u2028", "&lt;"]))
def test_what_stands_in_the_page_is_data_and_no_markup(text):
    embedded = embedded_json({"answer": text})
    assert not set("<>&\u2028\u2029") & set(embedded)
    assert json.loads(embedded) == {"answer": text}


def test_an_answer_with_markup_stays_inside_the_data(tmp_path: Path):
    evil = "</script><script>alert(1)</script> {{script}} {{data}}"
    folder = make_folder(tmp_path / "bench", [question(0)], {"in_domain-0": (evil, "fine")})
    [page] = marking.pack(folder, ["anna"])
    assert page.read_text().count("<script") == page_part("html").count("<script")
    assert evil in [card["answers"][0] for card in page_data(page)["cards"]]


@pytest.mark.parametrize(
    ("name", "marks", "meta", "words"),
    [
        ("in_domain", 6, {"series": "2026+"}, "Two teachings, up to three marks"),
        ("in_domain", 5, {"series": "2016-2025"}, "One more mark"),
        ("in_domain", 2, {"series": "2016-2025"}, "two correct points"),
        ("near_domain", 12, {}, "Find the level"),
        ("out_of_domain", 1, {}, "One mark for a correct answer"),
        ("out_of_domain", 4, {"key_points": [{}]}, "points below"),
        ("in_domain", 4, {"qtype": "misconception", "key_points": [{}]}, "points below"),
        ("in_domain", None, {}, "names no marks"),
    ],
)
def test_each_tariff_has_its_guide(name, marks, meta, words):
    found = guide_for(Question("q", name, "?", marks, None, meta))
    assert found is not None
    assert words in found.text


def test_twelve_marks_have_four_levels_of_three():
    found = guide_for(question(0, marks=12))
    assert found is not None
    assert [name for name, _ in found.levels] == ["10-12", "7-9", "4-6", "1-3", "0"]
    assert guide_for(Question("q", "out_of_domain", "?", 4, None, {})) is None


# What the marks say


def test_marks_equal_a_hand_calculation(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    result = marking.close(folder, [fill(page, better_for_theobot, tmp_path / "anna.json")])
    mark = result.mark
    assert mark is not None
    # The base has 0, 1, 0, 1, 0, 1 of 4, Theobot 3 of 4 each time.
    assert mark.tariffs == [(4, 6, pytest.approx(0.5), pytest.approx(3.0))]
    [found] = mark.comparisons
    by_hand = compare(
        "in_domain", "marks by people", [0, 0.25] * 3, [0.75] * 6,
        [f"verse {n}" for n in range(6)], margin=0.05, seed=result.seed,
    )  # fmt: skip
    assert found.difference == pytest.approx(by_hand.difference)
    assert found.difference.mean == pytest.approx(0.625)
    assert (found.p, found.verdict) == (by_hand.p, "better")
    assert (found.better, found.equal, found.worse) == (6, 0, 0)
    assert (result.markers, result.late, result.withheld) == (1, 0, False)
    assert result.sentence == (
        "1 person marked 6 questions blind: Theobot earned 75% of the marks, the base 12%."
    )
    assert any("Conclusions are for this marker" in note for note in result.notes)
    [anna] = mark.markers
    assert (anna.assigned, anna.judged, anna.minutes) == (12, 12, 6.0)
    assert json.loads((folder / "marks.json").read_text()) == result.to_json()
    json.dumps(result.to_json(), allow_nan=False)


def test_marks_are_averaged_over_markers_of_both_answers(folder: Path, tmp_path: Path):
    pages = marking.pack(folder, ["anna", "ben"], seed=1)

    def anna(card):
        return {"marks": 4 if card["answers"][0].endswith("two") else 0}

    def ben(card):
        text = card["answers"][0]
        if text == "in_domain-3 one":
            return None
        return {"marks": 3 if text.endswith("two") else 0}

    files = [fill(page, judge, tmp_path / page.with_suffix(".json").name)
             for page, judge in zip(pages, (anna, ben), strict=True)]  # fmt: skip
    mark = marking.close(folder, files).mark
    assert mark is not None
    # Five questions have 4 and 3, the one of which Ben skipped an answer has Anna's 4 alone.
    assert mark.tariffs == [(4, 6, 0.0, pytest.approx((5 * 3.5 + 4) / 6))]
    [pair] = mark.pairs
    assert (pair.markers, pair.n, pair.within_one) == (("anna", "ben"), 11, 1.0)
    assert mark.alpha.units == 11
    assert mark.alpha.enough


def test_equal_answers_count_as_no_difference(tmp_path: Path):
    texts = {f"in_domain-{n}": ("Same", "Same") for n in (0, 1, 2)}
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(6)], texts)
    [page] = marking.pack(folder, ["anna"])
    mark = marking.close(folder, [fill(page, better_for_theobot, tmp_path / "a.json")]).mark
    assert mark is not None
    assert (mark.questions, mark.alike) == (3, 3)
    [found] = mark.comparisons
    # 3 - 1, 3 - 0, 3 - 1 of 4, and three times nothing.
    assert found.difference.mean == pytest.approx((2 + 3 + 2) / 4 / 6)
    assert (found.n, found.better, found.equal) == (6, 3, 3)


def test_verdicts_are_withheld_where_markers_do_not_agree(folder: Path, tmp_path: Path):
    pages = marking.pack(folder, ["anna", "ben"], seed=1)
    files = [
        fill(pages[0], better_for_theobot, tmp_path / "a.json"),
        fill(
            pages[1],
            lambda card: {"marks": 4 - better_for_theobot(card)["marks"], "comment": "No."},
            tmp_path / "b.json",
        ),
    ]
    result = marking.close(folder, files)
    assert result.mark is not None
    assert result.withheld
    assert result.mark.withheld
    assert "The markers do not agree: alpha -" in result.reasons[0]
    assert result.mark.comparisons == []
    assert "no conclusion" in result.sentence
    worst = result.mark.disagreements[0]
    assert worst.judged in ({"anna": 0, "ben": 4}, {"anna": 3, "ben": 1})
    assert {one.text for one in result.comments} == {"No."}
    assert len(result.comments) == 12


def test_verdicts_are_withheld_where_a_marker_does_not_agree_with_themselves(tmp_path: Path):
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(40)])
    [page] = marking.pack(folder, ["anna"], "mark", 60)
    seen: set[str] = set()

    def fickle(card):
        text = card["answers"][0]
        again = text in seen
        seen.add(text)
        return {"marks": 0 if again else 4 if text.endswith("two") else 2}

    result = marking.close(folder, [fill(page, fickle, tmp_path / "a.json")])
    assert result.mark is not None
    [anna] = result.mark.markers
    assert (anna.repeats, anna.same, anna.near) == (6, 0, 0)
    # Too few repeats to condemn her; with a threshold of 8 nothing is concluded from six.
    assert not result.withheld


def test_a_fickle_marker_of_a_whole_sample_is_not_believed(tmp_path: Path):
    names = ("in_domain", "near_domain", "out_of_domain")
    folder = make_folder(
        tmp_path / "bench", [question(n, name) for name in names for n in range(40)]
    )
    [page] = marking.pack(folder, ["anna"])
    seen: set[str] = set()

    def fickle(card):
        text = card["answers"][0]
        again = text in seen
        seen.add(text)
        return {"marks": 0 if again else 4 if text.endswith("two") else 2}

    result = marking.close(folder, [fill(page, fickle, tmp_path / "a.json")])
    assert result.withheld
    assert "anna does not agree with themselves: alpha -" in result.reasons[0]
    assert "on 12 hidden repeats" in result.reasons[0]


def test_flags_criteria_and_unfinished_work_are_told(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])

    def judge(card):
        text = card["answers"][0]
        if text in ("in_domain-0 one", "in_domain-1 one", "in_domain-1 two"):
            return None
        ours = text.endswith("two")
        return {"marks": 2, "wrong": not ours, "scripture": text == "in_domain-0 two",
                "criteria": {"clear": 2 if ours else 1}}  # fmt: skip

    result = marking.close(folder, [fill(page, judge, tmp_path / "a.json")])
    mark = result.mark
    assert mark is not None
    assert (mark.questions, mark.incomplete) == (4, 1)
    assert mark.wrong == {"base": wilson(4, 4), "theobot": wilson(0, 5)}
    assert mark.scripture == {"base": wilson(0, 4), "theobot": wilson(1, 5)}
    assert mark.criteria == {"clear": {"base": 1.0, "theobot": 2.0, "n": 9}}
    assert "anna judged 9 of 12 cards in mode mark." in result.notes


def test_preferences_equal_a_hand_calculation(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"], "prefer")

    def choose(left: str, right: str) -> str:
        number = int(left.split("-")[1].split()[0])
        if number == 0:
            return "equal"
        if number == 1:
            return "poor"
        ours = for_theobot(left, right)
        return ours if number < 5 else {"left": "right", "right": "left"}[ours]

    def judge(card):
        return {"choice": choose(*card["answers"]), "reasons": ["clear"]}

    result = marking.close(folder, [fill(page, judge, tmp_path / "a.json")])
    found = result.prefer
    assert result.mark is None
    assert found is not None
    assert (found.wins, found.losses, found.equal, found.poor) == (3, 1, 1, 1)
    assert found.sets["in_domain"] == (3, 1, 1, 1)
    assert found.win_rate == wilson(3, 4)
    # Two-sided exact sign test of 3 of 4.
    assert found.p == pytest.approx(10 / 16)
    assert found.left.left.n == 4
    assert found.why == {"theobot": {"clear": 3}, "base": {"clear": 1}}
    assert "preferred on 3, the base's on 1, neither on 2" in result.sentence


def test_questions_are_counted_and_not_votes(folder: Path, tmp_path: Path):
    pages = marking.pack(folder, ["anna", "ben", "cara"], "prefer", None, 1)
    against = prefer(lambda *pair: "left" if for_theobot(*pair) == "right" else "right")
    judges = [prefer(for_theobot), prefer(for_theobot), against]
    files = [fill(page, judge, tmp_path / f"{n}.json")
             for n, (page, judge) in enumerate(zip(pages, judges, strict=True))]  # fmt: skip
    result = marking.close(folder, files)
    found = result.prefer
    assert found is not None
    assert (found.wins, found.losses, found.questions) == (6, 0, 6)
    assert found.withheld
    assert found.win_rate is None
    assert len(found.disagreements) == 6
    assert found.disagreements[0].judged == {"anna": "theobot", "ben": "theobot", "cara": "base"}
    assert not any("Conclusions are for" in note for note in result.notes)


def test_a_marker_who_always_takes_the_left_side_shows(tmp_path: Path):
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(40)])
    [page] = marking.pack(folder, ["anna"], "prefer")
    judge = prefer(lambda left, right: "left")
    found = marking.close(folder, [fill(page, judge, tmp_path / "a.json")]).prefer
    assert found is not None
    assert found.left.left.value == 1
    assert found.left.p < 1e-6
    # Balanced sides: it favours neither arm, and disagrees with itself on every repeat.
    assert (found.wins, found.losses) == (18, 18)
    assert (found.markers[0].repeats, found.markers[0].same) == (3, 0)


def test_an_automatic_score_is_held_against_the_marks(tmp_path: Path):
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(60)])
    [page] = marking.pack(folder, ["anna"])
    automatic = {}
    for n in range(60):
        automatic[f"in_domain-{n}", "base"] = n % 3 / 4
        automatic[f"in_domain-{n}", "theobot"] = (n % 3 + n % 2) / 4

    def judge(card):
        name, which = card["answers"][0].split()
        arm = "theobot" if which == "two" else "base"
        return {"marks": round(automatic[name, arm] * 4)}

    result = marking.close(folder, [fill(page, judge, tmp_path / "a.json")], automatic)
    assert result.automatic is not None
    assert (result.automatic.n, result.automatic.kappa) == (72, pytest.approx(1))
    assert result.automatic.spearman == pytest.approx(1)
    corrected = result.automatic.corrected["in_domain"]
    # The score equals the marks: what is guessed for all is the automatic mean over all.
    assert corrected.estimate.mean == pytest.approx(0.125)
    assert (corrected.marked, corrected.questions) == (36, 60)
    # By default the benchmark's own scores are taken.
    rows = [{"id": name, "arm": arm, "value": value} for (name, arm), value in automatic.items()]
    (folder / "scores.json").write_text(json.dumps(rows))
    again = marking.result(folder)
    assert again is not None
    assert again.automatic == result.automatic
    (folder / "scores.json").write_text("[{}]")
    with pytest.raises(RunError, match=r"scores\.json: damaged"):
        marking.result(folder)


def test_margins_are_the_callers(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    file = fill(page, lambda card: {"marks": 2}, tmp_path / "a.json")
    mark = marking.close(folder, [file], margins={"in_domain": 0.6}).mark
    assert mark is not None
    assert (mark.comparisons[0].margin, mark.comparisons[0].verdict) == (0.6, "same")


# Import and closing


def test_the_key_stays_closed_without_marks_or_with_a_wrong_file(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    with pytest.raises(RunError, match="no marks yet"):
        marking.close(folder)
    good = fill(page, better_for_theobot, tmp_path / "good.json")
    bad = tmp_path / "bad.json"
    bad.write_text(good.read_text().replace('"marks": 3', '"marks": 5'))
    with pytest.raises(RunError, match=r"bad\.json"):
        marking.close(folder, [good, bad])
    assert marking.result(folder) is None
    assert not (folder / "marks.json").exists()
    # The good file was taken all the same.
    assert marking.import_marks(folder, [good])[0][1:] == ("anna", "mark", 0, 12, 0)


def test_every_problem_of_every_file_is_told(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    good = fill(page, better_for_theobot, tmp_path / "good.json").read_text()
    other = json.loads(good)
    files = []
    for name, content in {
        "foreign": json.dumps(other | {"session": "0123"}),
        "stranger": json.dumps(other | {"marker": "zoe"}),
        "text": "hello",
        "form": json.dumps({**other, "entries": [{**other["entries"][0], "marks": "3"}]}),
    }.items():
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(content)
    with pytest.raises(RunError) as caught:
        marking.import_marks(folder, [*files, tmp_path / "none.json"])
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "another marking session" in text
    assert "'zoe', who is no marker" in text
    assert "entries.0.marks" in text
    assert "No such file" in text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["format", "session", "marker", "mode", "saved", "entries", "x"]), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_file_is_taken_or_refused_with_a_sentence(folder: Path, tmp_path: Path, content: bytes):
    marking.pack(folder, ["anna"])
    file = tmp_path / "any.json"
    file.write_bytes(content)
    with pytest.raises(RunError, match=r"any\.json"):
        marking.import_marks(folder, [file])


def test_corrections_count_and_keep_what_they_correct(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    first = fill(page, lambda card: {"marks": 0}, tmp_path / "first.json")
    second = fill(page, lambda card: {"marks": 4}, tmp_path / "second.json", start=100)
    content = json.loads(second.read_text())
    for entry in content["entries"]:
        entry["at"] = entry["at"].replace("T10", "T12")
    second.write_text(json.dumps(content))
    mark = marking.close(folder, [second, first]).mark
    assert mark is not None
    assert mark.tariffs == [(4, 6, 4.0, 4.0)]


def test_marks_that_come_after_closing_are_flagged(folder: Path, tmp_path: Path):
    anna, ben = marking.pack(folder, ["anna", "ben"], seed=1)
    first = marking.close(folder, [fill(anna, better_for_theobot, tmp_path / "a.json")])
    later = marking.close(folder, [fill(ben, better_for_theobot, tmp_path / "b.json")])
    assert first.closed == later.closed
    assert (first.late, later.late, later.markers) == (0, 12, 2)
    assert any("12 judgements came in after the key was opened" in note for note in later.notes)
    with pytest.raises(RunError, match="would not be blind"):
        marking.pack(folder, ["cara"])
    # A page that was dealt before can be written again.
    assert marking.pack(folder, ["ben"]) == [ben]


def test_marks_are_not_held_against_other_answers(folder: Path, tmp_path: Path):
    [page] = marking.pack(folder, ["anna"])
    file = fill(page, better_for_theobot, tmp_path / "a.json")
    answers = (folder / "answers.jsonl").read_text()
    make_folder(folder, [question(n) for n in range(6)], {"in_domain-2": ("New", "Newer")})
    with pytest.raises(RunError, match=r"changed since the marking began .* in_domain-2"):
        marking.close(folder, [file])
    assert not (folder / "marks.json").exists()
    (folder / "answers.jsonl").write_text(answers)
    # The key was not opened, so that more can be marked blind.
    assert marking.result(folder) is None
    assert marking.close(folder).late == 0
    (folder / "answers.jsonl").write_text(answers.replace("in_domain-5 two", "in_domain-5 three"))
    with pytest.raises(RunError, match="changed since the marking began"):
        marking.result(folder)


def test_a_left_out_question_is_told(tmp_path: Path):
    texts = {"in_domain-1": ("I am Qwen.", "Peace")}
    folder = make_folder(tmp_path / "bench", [question(n) for n in range(4)], texts)
    [page] = marking.pack(folder, ["anna"])
    result = marking.close(folder, [fill(page, better_for_theobot, tmp_path / "a.json")])
    assert any("1 question could not be drawn" in note for note in result.notes)
