"""The shipped set keeps to its plan, gives no benchmark question away, and has no known fault."""

import json
from collections import Counter

import pytest

from theobot.bench.leaks import across_sets, find_leaks, from_example, from_question
from theobot.bench.questions import read_questions, shipped_questions
from theobot.curriculum.question_types import QUESTION_TYPES
from theobot.curriculum.shares import RELIGION_SHARES, THEMES, TYPE_SHARES, count_religions
from theobot.data.check import check_file
from theobot.data.dataset import shipped_dev_data, shipped_training_data
from theobot.data.examples import read_examples
from theobot.data.split import clusters_of
from theobot.scripture.verses import verses_of

POINTS = 2.0
AREAS = {
    "near_domain": {
        "component-1": 19,
        "mark": 8,
        "philosophy-ethics": 13,
        "other-boards": 5,
        "worldviews": 11,
        "citizenship-law": 8,
        "history": 9,
        "scholarship": 7,
    },
    "out_of_domain": {
        "maths": 25,
        "biology": 10,
        "chemistry": 10,
        "physics": 10,
        "coding": 15,
        "geography": 15,
        "history": 12,
        "english": 15,
        "instruction": 18,
        "everyday": 10,
        "languages": 5,
        "safety": 5,
    },
    "trap": dict.fromkeys(
        (
            "nonexistent_verse",
            "verse_mismatch",
            "wrong_denomination",
            "false_premise",
            "invented_saying",
            "one_sided",
        ),
        6,
    ),
}


@pytest.fixture(scope="module")
def train():
    return read_examples(shipped_training_data())


@pytest.fixture(scope="module")
def dev():
    return read_examples(shipped_dev_data())


@pytest.fixture(scope="module")
def questions():
    return read_questions()


def shares(counts, total):
    return {name: 100 * count / total for name, count in counts.items()}


def test_each_theme_has_its_rows(train, dev, questions):
    assert Counter(row.meta["theme"] for row in train) == dict.fromkeys(THEMES, 200)
    assert Counter(row.meta["theme"] for row in dev) == dict.fromkeys(THEMES, 20)
    in_domain = [one for one in questions if one.set == "in_domain"]
    assert Counter(one.meta["theme"] for one in in_domain) == dict.fromkeys(THEMES, 20)
    traps = [one for one in questions if one.set == "trap"]
    assert Counter(one.meta["theme"] for one in traps) == dict.fromkeys(THEMES, 6)


@pytest.mark.parametrize("part", ["train", "dev"])
def test_types_and_religions_keep_to_the_plan(part, request):
    rows = request.getfixturevalue(part)
    counts = Counter(row.meta["qtype"] for row in rows)
    assert counts.keys() <= QUESTION_TYPES.keys()
    types = {group: sum(counts[name] for name in group) for group in TYPE_SHARES}
    assert shares(types, len(rows)) == pytest.approx(TYPE_SHARES, abs=POINTS)
    religions = shares(count_religions(row.meta["religions"] for row in rows), len(rows))
    assert religions == pytest.approx(RELIGION_SHARES, abs=POINTS)


def test_benchmark_questions_keep_to_the_plan(questions):
    for name, areas in AREAS.items():
        assert Counter(q.meta["area"] for q in questions if q.set == name) == areas
    in_domain = [one for one in questions if one.set == "in_domain"]
    religions = count_religions(one.meta["religions"] for one in in_domain)
    # Definitions that belong to no religion count for none.
    counted = sum(religions.values())
    assert shares(religions, counted) == pytest.approx(RELIGION_SHARES, abs=POINTS)


@pytest.mark.parametrize("file", [shipped_training_data(), shipped_dev_data()])
def test_the_check_finds_nothing(file):
    assert check_file(file).findings == []


def test_rows_have_the_same_keys_and_ids_of_their_own(train, dev):
    rows = [*train, *dev]
    assert len({frozenset(row.meta) for row in rows}) == 1
    ids = Counter(row.meta["id"] for row in rows)
    assert [name for name, count in ids.items() if count > 1] == []
    assert {row.meta["split"] for row in train} == {"train"}
    assert {row.meta["split"] for row in dev} == {"dev"}
    assert {row.meta["review"] for row in rows} <= {"checked", "approved"}


def test_no_cluster_stands_in_both_train_and_dev(train, dev):
    rows = [*train, *dev]
    for group in clusters_of(rows):
        assert len({rows[place].meta["split"] for place in group}) == 1, [
            rows[place].meta["id"] for place in group
        ]


def test_training_gives_no_question_away_and_verses_are_labelled(train, dev, questions):
    asked = [from_question(question) for question in questions]
    leaks = find_leaks([from_example(row) for row in [*train, *dev]], asked)
    assert [
        leak.trained.where + ": " + leak.sentence() for leak in leaks if leak.level.is_leak
    ] == []
    assert across_sets(questions) == []
    of_train = {row.where for row in train}
    seen = {leak.asked.where for leak in leaks if leak.trained.where in of_train}
    scripture = [one for one in questions if one.meta["seen_ref"] is not None]
    for question in scripture:
        assert verses_of(question.text), question.id
        assert (from_question(question).where in seen) == question.meta["seen_ref"], question.id
    in_domain = [one for one in scripture if one.set == "in_domain"]
    assert Counter(one.meta["seen_ref"] for one in in_domain) == {True: 12, False: 12}


def test_every_question_can_be_marked(questions):
    for question in questions:
        assert question.reference, question.id
        assert question.marks, question.id
        points, check = question.meta["key_points"], question.meta.get("check")
        assert check or sum(point["marks"] for point in points) >= question.marks, question.id
        if question.meta["qtype"] == "mcq_1":
            assert f"{question.meta['expected']}) " in question.text, question.id


def test_the_sidecar_knows_every_question():
    lines = (shipped_questions() / "references.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 120 + 80 + 150 + 36 == len(read_questions())
    assert len({json.loads(line)["id"] for line in lines}) == len(lines)
