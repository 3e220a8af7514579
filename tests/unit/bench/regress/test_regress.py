import importlib.util
import math

import pytest

from theobot import cli
from theobot.bench.comparison import Verdict
from theobot.bench.regress.regress import (
    Sample,
    decide_regress,
    judge_samples,
    load_harness,
    refuse_unlike,
    sample_of,
)
from theobot.bench.statistics import mcnemar_exact, newcombe_paired
from theobot.errors import DataError, SettingsError

ACC = {"acc": True}


def logged(doc_id: int, filter: str = "none", **scores: object) -> dict[str, object]:
    """A sample as lm-eval logs it, with the entries that count and some that do not."""
    return {
        "doc_id": doc_id,
        "doc": {"question": f"Question {doc_id}?"},
        "target": "0",
        "arguments": [(f"Question {doc_id}?\nAnswer:", " yes")],
        "resps": [[(-1.5, True)]],
        "filtered_resps": [(-1.5, True)],
        "filter": filter,
        "metrics": list(scores),
        "doc_hash": f"doc {doc_id}",
        "prompt_hash": f"prompt {doc_id}",
        "target_hash": "target",
        **scores,
    }


def samples(task: str, base: list[object], theobot: list[object], metric: str = "acc"):
    """Samples of both arms; a score None is one that was never given."""
    return [
        sample_of(task, arm, logged(place, **{metric: score}))
        for arm, column in (("base", base), ("theobot", theobot))
        for place, score in enumerate(column)
    ]


def cells(both: int, base_only: int, theobot_only: int, neither: int):
    base = [1] * (both + base_only) + [0] * (theobot_only + neither)
    theobot = [1] * both + [0] * base_only + [1] * theobot_only + [0] * neither
    return base, theobot


def test_right_or_wrong_is_judged_by_newcombe_and_mcnemar_with_counts():
    found, unjudged = judge_samples(samples("t", *cells(20, 9, 2, 9)), {"t": ACC})
    [result] = found
    assert result.counts == (20, 9, 2, 9)
    assert result.comparison.p == result.adjusted_p == pytest.approx(mcnemar_exact(2, 9))
    # The interval is of Theobot minus base, so that Theobot comes first there.
    assert result.comparison.difference == newcombe_paired(20, 2, 9, 9)
    assert (result.comparison.base, result.comparison.theobot) == (29 / 40, 22 / 40)
    assert unjudged == []


def test_the_order_of_the_samples_does_not_matter():
    rows = samples("t", *cells(20, 9, 2, 9))
    assert judge_samples(rows[::-1], {"t": ACC}) == judge_samples(rows, {"t": ACC})


def test_graded_scores_are_judged_by_the_t_interval():
    rows = samples("t", [0.5, 0.25, 1, 0] * 5, [0.75, 0.25, 1, 0.25] * 5, "rouge")
    [result] = judge_samples(rows, {"t": {"rouge": True}})[0]
    assert result.counts is None
    assert result.comparison.verdict is Verdict.BETTER
    assert result.comparison.difference.mean == pytest.approx(0.125)


def test_a_score_of_which_less_is_better_is_turned_round():
    rows = samples("t", [0.0] * 30, [1.0] * 30, "errors")
    [result] = judge_samples(rows, {"t": {"errors": False}})[0]
    assert result.comparison.metric == "1 - errors"
    assert result.comparison.verdict is Verdict.WORSE
    assert result.counts == (0, 30, 0, 0)


def test_samples_of_one_arm_only_are_dropped_and_counted():
    base, theobot = cells(60, 20, 2, 58)
    whole = samples("t", base, theobot)
    one_lost = [one for one in whole if (one.arm, one.doc_id) != ("base", 139)]
    [result] = judge_samples(one_lost, {"t": ACC})[0]
    assert (result.dropped, result.comparison.n) == (1, 139)
    assert result.counts == (60, 20, 2, 57)
    assert result.comparison.verdict is Verdict.WORSE
    many_lost = [one for one in whole if (one.arm, one.doc_id % 20) != ("theobot", 19)]
    [result] = judge_samples(many_lost, {"t": ACC})[0]
    assert result.dropped == 7
    assert result.comparison.verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("value", [None, math.nan, math.inf, (1, 0), "right"])
def test_what_is_no_finite_number_counts_as_missing(value):
    [result] = judge_samples(samples("t", [1] * 9 + [value], [1] * 10), {"t": ACC})[0]
    assert (result.dropped, result.comparison.n) == (1, 9)


def test_numpy_scores_are_scores():
    numpy = pytest.importorskip("numpy")
    kinds = [numpy.float64(1), numpy.int64(1), numpy.bool_(True), numpy.float32(1), True]
    [result] = judge_samples(samples("t", kinds, kinds), {"t": ACC})[0]
    assert result.counts == (5, 0, 0, 0)


def test_metrics_without_a_score_in_0_to_1_for_each_document_are_named():
    scores = {"f1": (1, 0), "acc": 1, "bleu": 34.5, "odd": 1}
    rows = [sample_of("t", arm, logged(0, **scores)) for arm in ("base", "theobot")]
    found, unjudged = judge_samples(rows, {"t": {"acc": True, "bleu": True, "f1": True}})
    assert [one.comparison.metric for one in found] == ["acc"]
    assert unjudged == ["t: f1", "t: bleu", "t: odd"]


def test_the_first_metric_and_filter_make_the_claim_and_the_others_none():
    rows = [
        sample_of("t", arm, logged(place, name, exact_match=1, acc=1))
        for name in ("strict", "flexible")
        for arm in ("base", "theobot")
        for place in range(3)
    ]
    found, _ = judge_samples(rows, {"t": {"exact_match": True, "acc": True}})
    about = [(one.comparison.metric, one.filter, one.comparison.exploratory) for one in found]
    assert about == [
        ("exact_match", "strict", False),
        ("acc", "strict", True),
        ("exact_match", "flexible", True),
        ("acc", "flexible", True),
    ]
    assert [one.adjusted_p for one in found] == [1.0, None, None, None]


def test_holm_takes_back_a_claim_that_many_tasks_make_by_chance():
    alone = {"worse": samples("worse", *cells(25, 8, 1, 6))}
    others = {f"same {k}": samples(f"same {k}", *cells(200, 2, 2, 200)) for k in range(3)}

    def judged(tasks):
        rows = [one for task in tasks.values() for one in task]
        return judge_samples(rows, dict.fromkeys(tasks, ACC))[0]

    [single] = judged(alone)
    assert single.comparison.p == pytest.approx(0.0390625)
    assert single.comparison.verdict is Verdict.WORSE
    first, *rest = judged(alone | others)
    assert first.adjusted_p == pytest.approx(4 * 0.0390625)
    assert first.comparison.verdict is Verdict.CANNOT_TELL
    assert {one.comparison.verdict for one in rest} == {Verdict.SAME}


@pytest.mark.parametrize(
    ("tables", "code", "word"),
    [
        ({"a": (200, 2, 2, 200)}, 0, "No task is worse"),
        ({"a": (200, 2, 2, 200), "b": (20, 30, 1, 9)}, 3, "Worse on b"),
        ({"a": (3, 1, 1, 3), "b": (200, 2, 2, 200)}, 4, "Cannot tell on a"),
        ({"a": (3, 1, 1, 3), "b": (20, 30, 1, 9)}, 3, "Worse on b"),
        ({"a": (800, 12, 1, 200)}, 0, "No task is worse"),
        ({"a": (20, 1, 30, 9)}, 0, "No task is worse"),
    ],
)
def test_exit_codes(tables, code, word):
    rows = [one for name, table in tables.items() for one in samples(name, *cells(*table))]
    decision = decide_regress(judge_samples(rows, dict.fromkeys(tables, ACC))[0])
    assert decision.exit_code == code
    assert decision.words.startswith(word)


def test_exploratory_metrics_decide_nothing():
    rows = [
        sample_of("t", arm, logged(place, acc=place % 2, acc_norm=arm == "base"))
        for arm in ("base", "theobot")
        for place in range(200)
    ]
    found, _ = judge_samples(rows, {"t": {"acc": True, "acc_norm": True}})
    assert found[1].comparison.verdict is Verdict.WORSE
    assert decide_regress(found).exit_code == 0


@pytest.mark.parametrize(
    ("changed", "same_prompt", "refused"),
    [
        ({"content": ("another", "target")}, False, True),
        ({"content": ("doc 1", "another")}, False, True),
        ({"prompt": "another"}, True, True),
        ({"prompt": "another"}, False, False),
    ],
)
def test_pairs_of_unlike_documents_are_refused(changed, same_prompt, refused):
    rows: list[Sample] = samples("t", [1, 0], [1, 1])
    refuse_unlike(rows, same_prompt=True)
    rows[-1] = rows[-1]._replace(**changed)
    if not refused:
        refuse_unlike(rows, same_prompt=same_prompt)
        return
    with pytest.raises(DataError, match="t: document 1 was not the same"):
        refuse_unlike(rows, same_prompt=same_prompt)


@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is not None, reason="lm-eval is installed")
def test_without_lm_eval_one_sentence_says_what_to_type(capsys):
    with pytest.raises(SettingsError):
        load_harness()
    assert cli.main(["bench", "regress", "--tasks", "mmlu_philosophy"]) == 2
    assert 'pip install "theobot[regress]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        (["--tasks", " , "], "--tasks 0"),
        (["--tasks", "a", "--limit", "0"], "--limit 0"),
        (["--tasks", "a", "--batch-size", "0"], "--batch-size 0"),
        ([], "--tasks"),
    ],
)
def test_impossible_flags_are_refused_before_anything_is_loaded(typed, word, capsys):
    assert cli.main(["bench", "regress", *typed]) == 2
    assert word in capsys.readouterr().err


def test_a_launcher_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["bench", "regress", "--tasks", "a"]) == 2
    assert "one process" in capsys.readouterr().err
