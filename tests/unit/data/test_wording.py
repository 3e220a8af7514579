import pytest

from theobot.data.examples import Example
from theobot.data.wording import check_wording

FULL = " ".join(["word"] * 79) + " whereas."


def kinds(completion: str, prompt: str = "Why?", **meta: object) -> list[str]:
    example = Example(f"User: {prompt}\nAssistant:", completion, meta, "a.jsonl:1")
    return [finding.kind for finding in check_wording(example)]


def test_a_good_answer_has_no_findings():
    assert kinds(FULL, qtype="explain_4_different") == []


@pytest.mark.parametrize(
    ("completion", "ending"),
    [
        ("Many Christians believe that " + "x " * 15 + "and", ["ending"]),
        ("Many Christians believe that " + "x " * 15 + "so.", []),
        ("Many Christians say " + "x " * 15 + 'it is "good."', []),
        ("B) Get", []),
        ("x " * 20 + "\u2026", []),
    ],
)
def test_a_long_answer_without_an_end_is_told(completion, ending):
    assert kinds(completion) == ending


def test_word_limits_come_from_the_type_or_the_marks():
    assert kinds("Too short.", qtype="define") == ["length"]
    assert kinds("Too short, but it differs.", "Evaluate it. [12 marks]") == ["length"]
    assert kinds("No type, no limit.") == []


@pytest.mark.parametrize(
    "completion",
    [
        "I believe this.",
        "That is what we think.",
        "It is our duty.",
        "It gives me hope.",
        "My view differs.",
    ],
)
def test_the_first_person_is_told(completion):
    assert kinds(completion) == ["first_person"]


@pytest.mark.parametrize(
    "completion",
    [
        "Vatican I, Elizabeth I and World War I came first.",
        "I Corinthians 13 is about love.",
        "They support All We Can, a charity.",
        "In Our Lady of Lourdes many see a mother.",
        'Jesus says "I am the way".',
        "The US and me-too movements.",
        "Option A) I is wrong, and so is Part I.",
    ],
)
def test_numerals_names_and_quotations_are_not_the_first_person(completion):
    assert "first_person" not in kinds(completion)


@pytest.mark.parametrize(
    "completion",
    [
        "All Christians oppose it.",
        "Every Muslim fasts.",
        "No Sikh drinks.",
        "Hindus always agree.",
        "Jews never eat pork.",
        "All Orthodox Jews keep it.",
    ],
)
def test_claims_for_everyone_are_told(completion):
    assert "absolute" in kinds(completion)


@pytest.mark.parametrize(
    "completion",
    [
        "Not all Christians oppose it.",
        "Many Muslims fast.",
        "It is not true for all Hindus.",
        "Charity is given to all Muslims in need.",
        'The claim "all Jews agree" goes too far.',
        "All Christians who are ordained may do it.",
    ],
)
def test_qualified_claims_are_left_alone(completion):
    assert "absolute" not in kinds(completion)


def test_a_correction_may_name_the_claim_it_corrects():
    assert kinds("It is wrong that all Sikhs agree." + " x" * 50 + ".", qtype="misconception") == []


def test_a_discussion_needs_a_second_view():
    one_sided = " ".join(["good"] * 80) + "."
    assert kinds(one_sided, qtype="explain_4_different") == ["one_view"]
    assert kinds(one_sided, qtype="explain_4_influence") == []


def test_american_spelling_is_told():
    assert kinds("They honor it.") == ["spelling"]
