import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import theobot
from theobot.bench.plan import (
    changed_since_first_answer,
    complete_plan,
    differences,
    fix_plan,
    hash_questions,
    make_plan,
    planned_sets,
    read_plan,
    write_plan,
)
from theobot.errors import DataError


def test_a_plan_survives_being_written(tmp_path):
    plan = make_plan(limit=3, base="nano")
    write_plan(plan, tmp_path / "new" / "plan.json")
    assert read_plan(tmp_path / "new" / "plan.json") == plan
    assert [(name, one.hypothesis) for name, one in planned_sets(plan)] == [
        ("in_domain", "better"),
        ("near_domain", "not_worse"),
        ("out_of_domain", "not_worse"),
    ]
    assert set(plan.questions) == set(hash_questions())
    assert plan.code


def test_what_is_no_plan_is_told_by_field(tmp_path):
    path = tmp_path / "plan.json"
    with pytest.raises(DataError, match="bench plan"):
        read_plan(path)
    plan = json.loads(make_plan().model_dump_json())
    plan["near_domain"]["margin"] = 2
    plan["nonsense"] = 1
    path.write_text(json.dumps(plan))
    with pytest.raises(DataError) as caught:
        read_plan(path)
    assert len(caught.value.problems) == 2
    assert "near_domain.margin" in caught.value.problems[0]


@pytest.mark.parametrize(("place", "value"), [("level", 0.99), ("metric", "chrF")])
def test_what_a_plan_cannot_change_is_refused(tmp_path, place, value):
    plan = json.loads(make_plan().model_dump_json())
    (plan if place in plan else plan["in_domain"])[place] = value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    with pytest.raises(DataError, match=rf"{place}: (Input .*|)(0\.95 was expected|'score')"):
        read_plan(path)


def test_a_home_that_the_shell_left_as_it_is_has_its_questions_hashed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "in_domain_questions.txt").write_text("What is sin?\n")
    assert hash_questions(Path("~")) == hash_questions(tmp_path)
    assert set(hash_questions(Path("~"))) == {"in_domain_questions.txt"}


def test_the_commit_is_that_of_theobot_and_of_no_project_around_it(tmp_path):
    package = tmp_path / "environment" / "theobot"
    shutil.copytree(Path(theobot.__file__).parent, package, ignore=lambda place, names: {
        name for name in names if not name.endswith(".py") and (Path(place) / name).is_file()
    })  # fmt: skip
    git = ["git", "-C", str(tmp_path), "-c", "user.name=A", "-c", "user.email=a@localhost"]
    (tmp_path / "mine.txt").touch()

    def version(*added: str) -> str:
        for words in (["init", "-q"], ["add", *added], ["commit", "-q", "-m", "Mine"]):
            subprocess.run([*git, *words], check=True)
        command = "from theobot.bench.plan import code_version; print(code_version())"
        return subprocess.run(
            [sys.executable, "-c", command], env={**os.environ, "PYTHONPATH": str(package.parent)},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    assert version("mine.txt") == theobot.__version__
    assert version("environment/theobot/bench/plan.py").startswith(f"{theobot.__version__} (")


def test_open_hashes_are_completed_and_others_compared():
    plan = make_plan()
    done = complete_plan(plan, {"base": "nano", "adapter": "abc", "data": None})
    assert (done.base, done.adapter, done.data) == ("nano", "abc", None)
    assert complete_plan(done, {"base": "other"}).base == "nano"
    told = differences(done, {"base": "other", "adapter": "abc", "data": None, "questions": {}})
    assert told[0] == "base: planned nano, now other"
    assert told[1].startswith("questions: in_domain_questions.txt")


def test_a_plan_changed_after_the_first_answer_is_known(tmp_path):
    plan = make_plan()
    assert changed_since_first_answer(tmp_path, plan)
    fix_plan(tmp_path, plan)
    assert not changed_since_first_answer(tmp_path, plan)
    other = plan.model_copy(update={"random_ten_seed": 11})
    fix_plan(tmp_path, other)
    assert changed_since_first_answer(tmp_path, other)
    fix_plan(tmp_path, other, seen=False)
    assert not changed_since_first_answer(tmp_path, other)


def test_a_hash_that_is_no_text_counts_as_changed(tmp_path):
    (tmp_path / "plan.sha256").write_bytes(b"\xfe\xff")
    assert changed_since_first_answer(tmp_path, make_plan())
