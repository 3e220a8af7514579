import json

import pytest

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
