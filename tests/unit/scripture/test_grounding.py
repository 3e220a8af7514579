from __future__ import annotations

from theobot.scripture.grounding import MOST_PLACES, ground


def test_a_question_without_a_reference_stays_as_it_is():
    question = "What do Muslims believe about  peace?\n"
    assert ground(question) == (question, [], [])


def test_the_form_of_the_prompt_is_fixed():
    question = "What does John 11:35 teach?"
    assert ground(question).prompt == (
        "Scripture (American Standard Version, 1901):\n"
        'John 11:35: "Jesus wept."\n'
        "\n"
        "What does John 11:35 teach?"
    )


def test_what_was_given_is_told_once_each_in_the_order_of_the_question():
    found = ground("Compare Micah 6:8 with Jn 11:35, John 11:35, Amos 5:24 and Psalm 24:1.")
    assert [verse.reference for verse in found.given] == ["Micah 6:8", "John 11:35", "Amos 5:24"]
    assert len(found.given) == MOST_PLACES
    assert all(verse.text in found.prompt for verse in found.given)


def test_a_place_that_does_not_exist_is_told_and_not_given():
    found = ground("What does Genesis 60:5 teach?")
    assert found.prompt == "What does Genesis 60:5 teach?"
    assert found.missing == [
        "Genesis 60:5 does not exist: Genesis has 50 chapters, so there is no chapter 60."
    ]


def test_no_other_scripture_is_given():
    assert ground("What do Qur'an 2:256 and Tobit 4:15 teach?").given == []
