from theobot.bench.answers import AnswerRecord
from theobot.bench.questions import Question
from theobot.bench.scoring.rates import count_rates


def record(name: str, arm: str, text: str, stop: str = "eos") -> AnswerRecord:
    return AnswerRecord(
        name, "s", "?", arm, "seed", "x", 9, text, stop, 9, "m", None, None, {}, "p"
    )


def test_rates_of_both_arms():
    questions = [
        Question("a", "in_domain", "Why pray?", 1, None, {}),
        Question("b", "out_of_domain", "What is 2 + 2?", 1, None, {}),
    ]
    loop = "the cat sat on the mat " * 3
    records = [
        record("a", "base", "I am sorry, I cannot help.", "length"),
        record("a", "theobot", "Genesis 60:5 says so.", "new_turn"),
        record("b", "base", ""),
        record("b", "theobot", f"God is good. {loop}\nUser: more"),
    ]
    rates = {name: (base, theobot) for name, base, theobot in count_rates(questions, records)}
    told = {name: (b.successes, b.n, t.successes, t.n) for name, (b, t) in rates.items()}
    assert told == {
        "ended by themselves": (1, 2, 1, 2),
        "cut at their cap": (1, 2, 0, 2),
        "empty": (1, 2, 0, 2),
        "repeat six words": (0, 2, 1, 2),
        "speak for the user or name roles": (0, 2, 2, 2),
        "refuse": (1, 2, 0, 2),
        "religious words where none were asked for": (0, 1, 1, 1),
        "cite scripture": (0, 2, 1, 2),
        "cite what does not exist, of those that cite": (0, 0, 1, 1),
    }


def test_an_arm_of_which_a_server_does_not_tell_how_answers_ended_has_no_such_rate():
    questions = [Question(name, "in_domain", "Why pray?", 1, None, {}) for name in "ab"]
    records = [
        record("a", "base", "So."),
        record("b", "base", "So.", "new_turn"),
        record("a", "theobot", "So.", "stop"),
        record("b", "theobot", "So.\nUser: more", "length"),
    ]
    rates = {name: (base, theobot) for name, base, theobot in count_rates(questions, records)}
    for name in ("ended by themselves", "speak for the user or name roles"):
        base, theobot = rates[name]
        assert (base.successes, base.n) == (1, 2)
        assert theobot.n == 0
    assert rates["cut at their cap"][1].successes == 1
