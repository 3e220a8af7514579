"""The verdict from saved answers: the honesty of it, without a model."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from theobot.bench.answers import AnswerRecord
from theobot.bench.benchmark import rejudge
from theobot.bench.comparison import Verdict
from theobot.bench.plan import SetPlan, fix_plan, make_plan, read_plan, write_plan
from theobot.bench.questions import Question
from theobot.bench.results import make_report
from theobot.bench.saved import read_answered
from theobot.errors import InvalidRunError, RunError

POINTS = [
    {"text": f"point {word}", "marks": 1, "accept": [word]}
    for word in ("agape", "zakah", "langar", "ahimsa")
]
WORDS = [point["accept"][0] for point in POINTS]


def save(
    folder: Path,
    gains: dict[str, float],
    *,
    count: int = 40,
    stop: str = "eos",
    lose: int = 0,
    probes: dict | None = None,
) -> Path:
    """A folder as a benchmark leaves it; `gains` is Theobot's chance of one more key point."""
    folder.mkdir(parents=True, exist_ok=True)
    choose = random.Random(5)
    plan = make_plan(None, base="nano", adapter="a" * 64)
    write_plan(plan, folder / "plan.json")
    fix_plan(folder, plan)
    questions, records = [], []
    for name in ("in_domain", "near_domain", "out_of_domain"):
        for number in range(count):
            asked = Question(
                f"{name}-{number}", name,
                f"Question {number} of {name}{' on Micah 4:3' * (number % 2 == 0)}?",
                4, "Agape and zakah.", {"theme": "AB"[number % 2], "key_points": POINTS},
            )  # fmt: skip
            questions.append(asked)
            base = choose.sample(WORDS, 1 + number % 2)
            gain = gains.get(name, 0.0)
            more = [word for word in WORDS if word not in base][: int(choose.random() < abs(gain))]
            tuned = [*base, *more] if gain >= 0 else base[: len(base) - len(more)]
            for arm, words in (("base", base), ("theobot", tuned)):
                if arm == "theobot" and len(questions) <= lose:
                    continue
                text = " and then ".join(words) or "nothing"
                records.append(
                    AnswerRecord(
                        asked.id,
                        name,
                        asked.text,
                        arm,
                        "seed",
                        "x",
                        9,
                        f"{text}.",
                        stop if arm == "theobot" else "eos",
                        9,
                        "nano",
                        "a" * 64,
                        "b",
                        {},
                        "p",
                    )
                )
    write(folder / "questions.jsonl", questions)
    write(folder / "answers.jsonl", records)
    (folder / "probes.json").write_text(
        json.dumps({"answers": "p", "adapter_effect": 1.5, **(probes or {})})
    )
    return folder


def plan_as(folder: Path, **changes: object) -> None:
    """As if the plan had said so before the first answer."""
    plan = read_plan(folder / "plan.json").model_copy(update=changes)
    write_plan(plan, folder / "plan.json")
    (folder / "plan.sha256").unlink()
    fix_plan(folder, plan)


def write(path: Path, rows: list) -> None:
    path.write_text("".join(json.dumps(row._asdict()) + "\n" for row in rows))


def test_a_gain_in_its_domain_alone_meets_the_plan(tmp_path):
    probes = {"seen_verses": [f"in_domain-{number}" for number in range(0, 120, 4)]}
    result = rejudge(save(tmp_path / "b", {"in_domain": 0.8}, count=120, probes=probes))
    report = result.report
    assert report.decision.exit_code == 0
    assert [one.verdict for one in report.sets] == [Verdict.BETTER, Verdict.SAME, Verdict.SAME]
    assert report.plan_status == "planned"
    assert {path.name for path in result.reports} == {"report.html", "report.md", "report.json"}
    assert {one.name for one in report.themes} == {"A", "B"}
    # Half of the questions are on a verse, and half of those were seen.
    groups = {one.name: one.n for one in report.seen}
    assert groups == {"verse not seen": 30, "verse seen in training": 30}
    assert all(one.exploratory for one in (*report.themes, *report.tariffs, *report.secondary))


def test_harm_anywhere_does_not(tmp_path):
    report = rejudge(save(tmp_path / "b", {"in_domain": 0.8, "out_of_domain": -0.8})).report
    assert report.decision.exit_code == 3
    assert report.sets[2].verdict is Verdict.WORSE


def test_a_gain_is_not_enough_where_the_other_sets_have_no_score(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.8, "near_domain": -1, "out_of_domain": -1})
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    for asked in questions:
        if asked["set"] != "in_domain":
            del asked["meta"]["key_points"]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(q)}\n" for q in questions))
    report = rejudge(folder).report
    assert [one.n for one in report.sets] == [40, 0, 0]
    assert report.sets[0].verdict is Verdict.BETTER
    assert report.decision == (
        4, "Cannot tell: no near-domain, out-of-domain question could be scored.", None
    )  # fmt: skip


def test_all_sets_that_were_planned_to_be_better_are_judged(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.8, "near_domain": -0.8, "out_of_domain": 0.8})
    better = SetPlan(hypothesis="better")
    plan_as(folder, near_domain=better, out_of_domain=better)
    report = rejudge(folder).report
    assert report.plan_status == "planned"
    assert report.decision.exit_code == 3
    assert report.decision.words == "The fine-tune did harm: worse on near-domain questions."
    plan_as(folder, near_domain=better, in_domain=SetPlan(hypothesis="not_worse"))
    assert rejudge(folder).report.decision == report.decision


def test_a_few_questions_cannot_tell(tmp_path):
    report = rejudge(save(tmp_path / "b", {"in_domain": 0.6}, count=4)).report
    assert report.decision.exit_code == 4


def test_answers_that_were_cut_give_no_verdict(tmp_path):
    report = rejudge(save(tmp_path / "b", {"in_domain": 0.8}, stop="length")).report
    assert report.decision.exit_code == 4
    assert "cut" in report.decision.words
    assert all(one.cut for one in report.sets)
    whole = rejudge(save(tmp_path / "whole", {"in_domain": 0.8})).report
    assert not any(one.cut for one in whole.sets)
    assert {light.name: light.state for light in report.trust}["Cut answers"] == "bad"


def test_a_row_that_one_arm_lacks_is_dropped_from_both_and_counted(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.8}, lose=2)
    report = rejudge(folder).report
    assert report.sets[0].n == 38
    lights = {light.name: light for light in report.trust}
    assert lights["Complete pairs"].sentence == "118 of 120 questions have both answers."
    with pytest.raises(InvalidRunError, match=r"2\.5%") as caught:
        rejudge(save(tmp_path / "c", {}, lose=3))
    assert caught.value.exit_code == 5


def test_the_order_of_rows_changes_nothing(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.5})
    first = rejudge(folder).report
    for name in ("questions.jsonl", "answers.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        random.Random(1).shuffle(lines)
        (folder / name).write_text("".join(lines))
    again = rejudge(folder).report
    assert [one.difference.mean for one in again.sets] == pytest.approx(
        [one.difference.mean for one in first.sets]
    )
    assert [one.verdict for one in again.sets] == [one.verdict for one in first.sets]


def test_a_plan_changed_afterwards_is_told(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.8})
    plan = read_plan(folder / "plan.json")
    easier = plan.model_copy(
        update={"in_domain": plan.in_domain.model_copy(update={"margin": 0.5})}
    )
    write_plan(easier, folder / "plan.json")
    report = rejudge(folder).report
    assert report.plan_status == "changed after answers were seen"
    assert {light.name: light.state for light in report.trust}["Plan"] == "warn"


def test_what_was_probed_is_shown(tmp_path):
    leak = {"leak": False, "level": "same_verse"}
    probes = {
        "leaks": [leak],
        "noise": {"questions": 20, "changed": ["x"], "changed_share": 0.1},
        "drift": {"kl": {"mean": 0.1}, "top1": 0.9},
    }
    report = rejudge(save(tmp_path / "b", {"in_domain": 0.8}, probes=probes)).report
    lights = {light.name: light.state for light in report.trust}
    assert (lights["Leaks"], lights["Noise"], lights["Adapter"]) == ("good", "warn", "good")
    assert report.length_adjusted is not None
    assert report.drift == probes["drift"]


def test_equal_length_is_spoken_of_only_where_it_was_seen(tmp_path):
    few = save(tmp_path / "few", {"in_domain": 0.8}, count=19)
    assert rejudge(few).report.length_adjusted is None
    longer = save(tmp_path / "longer", {"in_domain": 0.8})
    answers = [json.loads(line) for line in (longer / "answers.jsonl").read_text().splitlines()]
    for answer in answers:
        answer["text"] += " and so on" * (answer["arm"] == "theobot")
    (longer / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
    assert rejudge(longer).report.length_adjusted is None


def test_damaged_folders_are_told(tmp_path):
    folder = save(tmp_path / "b", {})
    (folder / "probes.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        rejudge(folder)
    (folder / "questions.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(RunError, match="damaged"):
        rejudge(folder)
    (folder / "questions.jsonl").unlink()
    with pytest.raises(RunError, match="theobot bench"):
        rejudge(folder)


def test_without_torch_every_number_comes_again(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.5})
    rejudge(folder)
    names = ("scores.json", "report.json", "report.html", "report.md")
    before = {name: (folder / name).read_bytes() for name in names}
    for name in names:
        (folder / name).unlink()
    code = "import sys\n"
    code += "for name in ('torch', 'transformers', 'peft', 'datasets'): sys.modules[name] = None\n"
    code += f"from theobot.cli import main\nsys.exit(main(['bench', 'report', {str(folder)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 4, done.stderr.decode()
    assert {name: (folder / name).read_bytes() for name in names} == before


def test_separate_claims_of_the_sets_are_corrected_together(tmp_path):
    report = rejudge(save(tmp_path / "b", {"in_domain": 0.1}, count=40)).report
    raw = {one.name: one.p for one in report.sets if math.isfinite(one.p)}
    assert report.holm.keys() == raw.keys()
    assert min(report.holm.values()) == pytest.approx(min(1, len(raw) * min(raw.values())))
    assert all(report.holm[name] >= p for name, p in raw.items())


def test_a_set_without_questions_is_no_claim(tmp_path):
    folder = save(tmp_path / "b", {"in_domain": 0.1}, count=40)
    report = make_report(read_answered(folder), folder)
    gone = read_answered(folder)
    near = [question for question in gone.pairs if question.set != "out_of_domain"]
    fewer = make_report(gone._replace(pairs=near), folder)
    assert fewer.holm.keys() == report.holm.keys() - {"out_of_domain"}
