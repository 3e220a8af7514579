"""What was saved is read only with the answers that it tells of."""

import json
from pathlib import Path

import pytest

from theobot.bench.adapter_card import figures
from theobot.bench.benchmark import rejudge, run_bench
from theobot.bench.marking import marking
from theobot.bench.report.model import Light, Report
from theobot.bench.saved import read_answered
from theobot.errors import InvalidRunError
from theobot.generation.scripted import ScriptedGenerator

TEXTS = {f"in_domain-{n}": ("agape", "agape zakah langar") for n in range(6)}
CHANGED = {f"in_domain-{n}": ("agape zakah", "nothing") for n in range(6)}


def mark(folder: Path, file: Path, most: int | None = None) -> None:
    """Anna gives every answer two marks, or only the first ones, and the key is opened."""
    [page] = marking.pack(folder, ["Anna"], "mark", 6, 1)
    text = page.read_text(encoding="utf-8")
    data = json.loads(
        text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    )
    entries = [
        {"id": f"{number:020x}", "card": card["id"], "at": "2026-01-02T10:00:00.000Z", "ms": 9,
         "marks": 2}
        for number, card in enumerate(data["cards"][:most])
    ]  # fmt: skip
    head = {name: data[name] for name in ("format", "session", "marker", "mode")}
    file.write_text(json.dumps({**head, "saved": "2026-01-02T11:00:00.000Z", "entries": entries}))
    marking.close(folder, [file])


def marks_light(report: Report) -> Light:
    return next(light for light in report.trust if light.name == "Teachers' marks")


def test_a_single_card_is_no_check_by_a_teacher(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", TEXTS)
    mark(folder, tmp_path / "anna.json", most=1)
    report = rejudge(folder).report
    assert report.marks["sentence"].startswith("1 person marked 0 questions blind")
    assert marks_light(report).state == "unknown"
    assert "No teacher has marked" in report.cannot_show[0]
    for name in ("report.md", "report.html"):
        assert "not yet checked against a teacher" in (folder / name).read_text(), name
    assert "not yet checked against a teacher" in figures(report)


def test_of_one_marker_nobody_knows_whether_another_would_agree(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", TEXTS)
    mark(folder, tmp_path / "anna.json")
    light = marks_light(rejudge(folder).report)
    assert light.state == "warn"
    assert light.sentence.endswith("since no two judged the same answers.")


def test_marks_of_other_answers_are_named_and_not_shown(tmp_path, save_bench):
    folder = save_bench(tmp_path / "b", TEXTS)
    mark(folder, tmp_path / "anna.json")
    report = rejudge(folder).report
    assert report.marks["sentence"].startswith("1 person marked 4 questions blind")
    first = (folder / "report.md").read_text()
    assert "not yet checked against a teacher" not in first
    assert "What people gave" in first

    report = rejudge(save_bench(folder, CHANGED)).report
    assert read_answered(folder).aside == ("marks.json",)
    assert report.marks is None
    light = marks_light(report)
    assert light.state == "unknown"
    assert light.sentence.startswith("The marks in marks.json are not of these answers")
    assert report.cannot_show[0] == "No teacher has marked these answers yet."
    text = (folder / "report.md").read_text()
    assert "not yet checked against a teacher" in text
    assert "What people gave" not in text

    rejudge(save_bench(folder, TEXTS))
    assert "What people gave" in (folder / "report.md").read_text()


@pytest.mark.parametrize("answers", [None, {}, {"in_domain-0": {"theobot": "0" * 64}}])
def test_marks_that_tell_not_of_which_answers_they_are_do_not_count(tmp_path, save_bench, answers):
    folder = save_bench(tmp_path / "b", TEXTS)
    (folder / "marks.json").write_text(json.dumps({"sentence": "Good.", "answers": answers}))
    found = read_answered(folder)
    assert (found.marks, found.aside) == (None, ("marks.json",))


class Adapter(ScriptedGenerator):
    """One whose weights are known; the other arm repeats the question, it adds a word."""

    def __init__(self, sha256: str, word: str) -> None:
        super().__init__(lambda question, arm: question + word * (arm == "theobot"))
        self.sha256 = sha256

    def describe(self):
        return super().describe() | {"adapter_sha256": self.sha256}


FIRST, RETRAINED = Adapter("a" * 64, " One."), Adapter("b" * 64, " Two.")


def stop(text: str) -> None:
    """Ctrl-C when the answers are there, and nothing else is."""
    if not text.startswith("Leaks"):
        raise KeyboardInterrupt


def test_what_was_measured_with_other_answers_is_not_shown(tmp_path, question_folder):
    folder = tmp_path / "b"
    run_bench(FIRST, folder, questions=question_folder)
    path = folder / "probes.json"
    probes = json.loads(path.read_text())
    del probes["leaks_not_checked"]
    path.write_text(json.dumps(probes | {"adapter_effect": 3.3, "leaks": [], "drift": {"kl": {}}}))
    choice = {"id": "in-1", "letter": "A", "probabilities": {"A": 0.7, "B": 0.3}}
    lines = [json.dumps(choice | {"arm": arm}) for arm in ("base", "theobot")]
    (folder / "choices.jsonl").write_text("\n".join(lines))
    first = rejudge(folder).report
    lights = {light.name: light.state for light in first.trust}
    assert (lights["Adapter"], lights["Leaks"], first.plan_changes) == ("good", "good", [])

    with pytest.raises(KeyboardInterrupt):
        run_bench(RETRAINED, folder, questions=question_folder, on_note=stop)
    path.write_text(json.dumps(probes | {"adapter_effect": 3.3, "leaks": []}))
    answered = read_answered(folder)
    assert (answered.probes, answered.aside) == ({}, ("probes.json", "choices.jsonl"))
    report = rejudge(folder).report
    lights = {light.name: light for light in report.trust}
    assert {lights[name].state for name in ("Adapter", "Leaks", "Noise")} == {"unknown"}
    assert "probes.json tells of others" in lights["Measurements"].sentence
    assert (report.drift, report.noise, report.leaks) == (None, None, [])
    # That the plan was made for another adapter stood in the probes, but the answers tell it too.
    assert report.plan_changes == [f"adapter: planned {'a' * 12}..., now {'b' * 12}..."]
    assert report.plan_status == "changed after answers were seen"


def test_what_an_adapter_chose_ends_with_its_measurements(tmp_path, question_folder):
    """Choices are written first: broken off there, they must not pass for the earlier adapter's."""
    folder = tmp_path / "b"
    run_bench(FIRST, folder, questions=question_folder)
    with pytest.raises(KeyboardInterrupt):
        run_bench(RETRAINED, folder, questions=question_folder, on_note=stop)
    assert not (folder / "probes.json").exists()
    assert "Measurements" in {light.name for light in rejudge(folder).report.trust}


def test_equal_answers_throughout_get_no_verdict_later_either(tmp_path, question_folder):
    folder = tmp_path / "b"
    with pytest.raises(InvalidRunError, match="All 7 answers"):
        run_bench(Adapter("a" * 64, ""), folder, questions=question_folder)
    with pytest.raises(InvalidRunError, match="All 7 answers") as caught:
        rejudge(folder)
    assert caught.value.exit_code == 5
    assert not (folder / "report.html").exists()
