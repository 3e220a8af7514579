"""What is made of a judge's verdicts; the verdicts are laid down by hand."""

import json
from pathlib import Path

import pytest

from theobot.bench.benchmark import rejudge
from theobot.bench.comparison import compare
from theobot.bench.judge.results import (
    NOT_CHECKED,
    JudgeSettings,
    of_same_family,
    planned_tasks,
    read_verdicts,
    summarise_judge,
)
from theobot.bench.marking import marking
from theobot.bench.saved import read_answered
from theobot.bench.statistics import wilson
from theobot.errors import RunError

SETTINGS = JudgeSettings("fair-judge", "http://127.0.0.1:9/v1", None)
WORDS = ("agape", "zakah", "langar", "ahimsa")
CRITERIA = ("task", "scripture", "reasoning", "perspective", "specific", "clear")
TEXTS = {
    "in_domain-0": ("agape", "agape zakah langar ahimsa"),
    "in_domain-1": ("zakah langar", "zakah"),
    "in_domain-2": ("nothing", "langar ahimsa"),
    "in_domain-3": ("ahimsa", "ahimsa"),
    "near_domain-0": ("agape", "zakah"),
}


def more_words(task):
    """Marks by the words that an answer has, and prefers the answer with more of them."""
    counts = [sum(word in text for word in WORDS) for text in task.answers]
    if len(counts) == 2:
        better = "A" if counts[0] > counts[1] else "B" if counts[1] > counts[0] else "tie"
        return {"better": better}
    criteria = dict.fromkeys(CRITERIA, min(counts[0], 2))
    if task.question.set == "out_of_domain":
        criteria = {name: criteria[name] for name in ("task", "specific", "clear")}
    return {"points": [word in task.answers[0] for word in WORDS], "criteria": criteria}


def lay_down(folder: Path, decide=more_words, settings=SETTINGS, most=None) -> Path:
    """What `theobot bench judge` leaves, with the verdicts of `decide`."""
    tasks = planned_tasks(read_answered(folder), settings)
    about = {"judge": settings.judge, "server": settings.server, "prompt": "p", "answers": []}
    lines = [
        about | {"key": key, "question": task.question.id, "verdict": decide(task)}
        for key, task in list(tasks.items())[:most]
    ]
    with (folder / "judge.jsonl").open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "judge.json").write_text(json.dumps(settings._asdict()))
    return folder


def summary(folder: Path):
    return summarise_judge(folder, read_answered(folder))


def mark_by_hand(folder: Path, choose, mode: str = "mark") -> None:
    """One person marks blind, as `choose` says of the answers of a card, and the key is opened."""
    [page] = marking.pack(folder, ["anna"], mode, 100)
    text = page.read_text(encoding="utf-8")
    data = json.loads(
        text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    )
    entries = [
        {"id": f"{number:020x}", "card": card["id"], "at": "2026-01-02T10:00:00.000Z", "ms": 9,
         **choose(card["answers"])}
        for number, card in enumerate(data["cards"])
    ]  # fmt: skip
    head = {key: data[key] for key in ("format", "session", "marker", "mode")}
    saved = folder / "anna.json"
    saved.write_text(json.dumps(head | {"saved": "2026-01-02T11:00:00.000Z", "entries": entries}))
    marking.close(folder, [saved])


def test_without_a_judge_there_is_nothing(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", TEXTS)
    assert summary(folder) is None
    assert rejudge(folder).report.judge is None
    assert not (folder / "judge.json").exists()
    assert "language model gave" not in (folder / "report.html").read_text()


def test_shares_equal_a_hand_calculation(tmp_path, save_bench):
    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS)))
    one, two = found["marks"]
    base, theobot = [0.25, 0.5, 0, 0.25], [1, 0.25, 0.5, 0.25]
    # Questions 0 and 1 share a topic, and so do 2 and 3.
    by_hand = compare("in_domain", "x", base, theobot, ["a", "a", "b", "b"], margin=0.05, seed=1)
    assert one.difference == pytest.approx(by_hand.difference)
    assert (one.n, one.clusters, one.better, one.equal, one.worse) == (4, 2, 2, 1, 1)
    assert (two.name, two.n, two.difference.mean) == ("near_domain", 1, 0)
    assert one.exploratory


def test_preferences_equal_a_hand_calculation(tmp_path, save_bench):
    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS)))
    core, near, both = found["preferences"]
    # in_domain-3 has two equal answers and is not compared.
    assert core[:5] == ("in_domain", 3, 2, 1, 0)
    assert near[:5] == ("near_domain", 1, 0, 0, 1)
    assert both[:5] == ("all", 4, 2, 1, 1)
    assert both.win_rate == wilson(2, 3)
    assert both.consistent == wilson(4, 4)
    assert found["first"].left == wilson(3, 6)


def test_what_the_order_decides_is_a_tie(tmp_path, save_bench):
    def first(task):
        return {"better": "A"} if len(task.answers) == 2 else more_words(task)

    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS), first))
    assert found["preferences"][-1][:5] == ("all", 4, 0, 0, 4)
    assert found["preferences"][-1].consistent == wilson(0, 4)
    assert found["first"].left == wilson(8, 8)
    assert found["first"].p == pytest.approx(2 / 2**8)


def test_a_win_beside_a_tie_is_a_tie(tmp_path, save_bench):
    def undecided(task):
        if len(task.answers) == 1:
            return more_words(task)
        return {"better": "A" if "ahimsa" in task.answers[0] else "tie"}

    texts = {"in_domain-0": ("agape", "ahimsa")}
    [core, _] = summary(lay_down(save_bench(tmp_path / "b", texts), undecided))["preferences"]
    assert core[1:5] == (1, 0, 0, 1)
    assert core.consistent == wilson(0, 1)


def test_criteria_are_means_of_questions_with_both(tmp_path, save_bench):
    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS)))["criteria"]
    # Words, two at most: base 1 2 0 1 1, Theobot 2 1 2 1 1.
    assert found["perspective"] == {"base": 1.0, "theobot": pytest.approx(7 / 5), "n": 5}
    texts = {"out_of_domain-0": ("agape", "zakah")}
    elsewhere = summary(lay_down(save_bench(tmp_path / "c", texts)))["criteria"]
    assert list(elsewhere) == ["task", "specific", "clear"]


def test_no_verdict_is_never_a_score(tmp_path, save_bench):
    def silent(task):
        first = task.answers == TEXTS["in_domain-0"]
        return None if first or task.answers == ("nothing",) else more_words(task)

    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS), silent))
    assert found["marks"][0].n == 3
    assert found["preferences"][-1].questions == 3
    assert found["criteria"]["task"]["n"] == 4
    # Two answers of each of five questions, of which those of one are alike; four pairs twice.
    assert found["requests"] == {"asked": 17, "answered": 17, "without a verdict": 2}
    assert "2 of 17 requests gave no verdict; they count as none." in found["notes"]


def test_what_was_broken_off_says_so(tmp_path, save_bench):
    found = summary(lay_down(save_bench(tmp_path / "b", TEXTS), most=3))
    assert found["preferences"] == []
    assert "has not compared these answers in both orders yet" in found["sentence"]
    assert any("14 of 17 requests have no reply" in note for note in found["notes"])


def test_verdicts_on_other_answers_and_of_other_judges_are_not_taken(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS))
    changed = {name: (base, f"{theobot}!") for name, (base, theobot) in TEXTS.items()}
    save_bench(folder, changed)
    found = summary(folder)
    assert found["preferences"] == []
    assert found["marks"] == []
    save_bench(folder, TEXTS)
    assert summary(folder)["preferences"][-1].questions == 4
    for other in (SETTINGS._replace(judge="b"), SETTINGS._replace(server="http://127.0.0.1:8/v1")):
        (folder / "judge.json").write_text(json.dumps(other._asdict()))
        assert summary(folder)["requests"]["answered"] == 0


def test_a_limit_takes_so_many_of_each_set(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS), settings=SETTINGS._replace(limit=1))
    assert [one.n for one in summary(folder)["marks"]] == [1, 1]


def test_the_verdict_does_not_change(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", TEXTS)
    before = rejudge(folder).report.to_json()
    scores = (folder / "scores.json").read_bytes()

    def contrary(task):
        if len(task.answers) == 1:
            hits = [not hit for hit in more_words(task)["points"]]
            return {**more_words(task), "points": hits}
        return {"better": {"A": "B", "B": "A"}.get(more_words(task)["better"], "tie")}

    after = rejudge(lay_down(folder, contrary)).report.to_json()
    judge = after.pop("judge")
    assert judge["marks"][0]["difference"]["mean"] < 0
    assert before.pop("judge") is None
    assert after == before
    assert (folder / "scores.json").read_bytes() == scores


def test_the_report_has_it_in_a_place_of_its_own(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS))
    rejudge(folder)
    page = (folder / "report.html").read_text()
    text = (folder / "report.md").read_text()
    section = page.partition('<section id="judge"')[2].partition("</section>")[0]
    part = text.partition("## What a language model gave (exploratory)")[2].partition("\n## ")[0]
    whole = json.loads((folder / "report.json").read_text())
    told = whole["judge"]
    for shown in (section, part):
        for words in ("fair-judge", "Exploratory: one model", NOT_CHECKED, told["prompt"],
                      "perspective fit (PF)", "the same in both orders",
                      "100.0 % (4 of 4; 51.0 to 100.0)"):  # fmt: skip
            assert words in shown
    assert told == json.loads((folder / "judge.json").read_text())
    first = [(folder / name).read_bytes() for name in ("report.html", "judge.json")]
    rejudge(folder)
    assert [(folder / name).read_bytes() for name in ("report.html", "judge.json")] == first


def test_agreement_with_marks_equals_a_hand_calculation(tmp_path, save_bench):
    texts = {"in_domain-0": ("agape zakah langar ahimsa", "nothing"),
             "in_domain-1": ("agape zakah", "not one")}  # fmt: skip
    folder = lay_down(save_bench(tmp_path / "b", texts))
    given = {texts["in_domain-0"][0]: 4, "nothing": 0, "agape zakah": 2, "not one": 2}
    mark_by_hand(folder, lambda answers: {"marks": given[answers[0]]})
    found = summary(folder)
    # People 1, 0, .5, .5 and the judge 1, 0, .5, 0: the squares seen are .25, those of chance
    # 5.0 / 4; the ranks 4, 1, 2.5, 2.5 and 4, 1.5, 3, 1.5 give 3.75 / 4.5.
    assert found["people"] == {
        "marks": {"n": 4, "kappa": pytest.approx(0.8), "spearman": pytest.approx(3.75 / 4.5)}
    }
    assert NOT_CHECKED not in found["notes"]
    rejudge(folder)
    assert "quadratic weighted kappa | 4 | 0.80" in (folder / "report.md").read_text()


def test_without_a_tariff_the_judge_counts_shares_of_all_key_points(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", {"in_domain-0": ("agape", "agape zakah")})
    path = folder / "questions.jsonl"
    path.write_text(path.read_text().replace('"marks": 4', '"marks": null'))
    [found] = summary(lay_down(folder))["marks"]
    assert (found.base, found.theobot) == (0.25, 0.5)


def test_agreement_with_preferences(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS))

    # As the judge, but for in_domain-1, of which it likes the base's.
    liked = {TEXTS["in_domain-0"][1], TEXTS["in_domain-2"][1], TEXTS["in_domain-1"][1]}

    def choose(answers):
        if set(answers) == set(TEXTS["near_domain-0"]):
            return {"choice": "poor"}
        return {"choice": "left" if answers[0] in liked else "right"}

    mark_by_hand(folder, choose, "prefer")
    people = summary(folder)["people"]
    assert people["preferences"]["same"] == wilson(3, 4)
    assert "marks" not in people


def test_marks_of_other_answers_and_open_sessions_say_nothing(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS))
    marking.pack(folder, ["anna"], "mark", 100)
    assert NOT_CHECKED in summary(folder)["notes"]
    mark_by_hand(folder, lambda answers: {"marks": 1})
    assert summary(folder)["people"]["marks"]["n"] == 8
    changed = {name: (f"{base}!", f"{theobot}!") for name, (base, theobot) in TEXTS.items()}
    lay_down(save_bench(folder, changed))
    assert summary(folder)["people"] is None
    assert NOT_CHECKED in summary(folder)["notes"]
    (folder / "marking" / "blind_key.json").unlink()
    assert "blind_key.json: no such file" in summary(folder)["notes"][1]


@pytest.mark.parametrize("name", ["Qwen/Qwen3-32B", "qwen2.5", "DeepSeek-R1-Distill-Qwen-7B",
                                  "QwQ-32B", "theobot"])  # fmt: skip
def test_the_same_family_is_known_by_its_name(name):
    assert of_same_family(name)
    assert not of_same_family("mistral-small")


def test_damaged_files_are_told(tmp_path, save_bench):
    folder = lay_down(save_bench(tmp_path / "b", TEXTS))
    store = folder / "judge.jsonl"
    whole = store.read_text()
    store.write_text(f'{whole}{{"key": "half')
    assert len(read_verdicts(store)) == 17
    for line in ("{", "[]", '{"key": 1}'):
        store.write_text(f"{whole}{line}\n")
        with pytest.raises(RunError, match=r"judge\.jsonl:18: damaged"):
            summary(folder)
    store.unlink()
    store.mkdir()
    with pytest.raises(RunError, match=r"judge\.jsonl: cannot be read"):
        summary(folder)
    (folder / "judge.json").write_text('{"judge": "x"}')
    with pytest.raises(RunError, match=r"judge\.json: damaged"):
        summary(folder)
