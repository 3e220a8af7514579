import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.scoring.options import choose_option, read_options

MCQ = "Which is it? A) Get B) Siddur C) Shema D) Mezuzah"


@pytest.mark.parametrize("text", [MCQ, "Q? (a) Get (b) Siddur (c) Shema (d) Mezuzah",
                                  "Q? A. Get B. Siddur C. Shema D. Mezuzah"])  # fmt: skip
def test_options_are_read(text):
    assert read_options(text) == {"A": "Get", "B": "Siddur", "C": "Shema", "D": "Mezuzah"}
    assert read_options("No options here.") == {}


@pytest.mark.parametrize("tariff", [" [1 mark]", " (2 marks)", "\n[1 Mark]  "])
@pytest.mark.parametrize("answer", ["Mezuzah", "D Mezuzah", "D) Mezuzah", "The mezuzah."])
def test_a_tariff_is_no_part_of_the_last_option(tariff, answer):
    assert read_options(MCQ + tariff)["D"] == "Mezuzah"
    assert choose_option(MCQ + tariff, answer).letter == "D"


def test_a_bracket_that_is_no_tariff_stays():
    assert read_options("Q? A) one B) two (in 1 Mark)")["B"] == "two (in 1 Mark)"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("B) Siddur", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("The answer is B.", "B"),
        ("The correct option is (C).", "C"),
        ("Siddur", "B"),
        ("It is the Shema.", "C"),
        ("A) Siddur", None),
        ("A and B", None),
        ("Get or Siddur", None),
        ("A get is a document.", "A"),
        ("", None),
        ("I do not know.", None),
        ("E", None),
        ("A) Get B) Siddur C) Shema D) Mezuzah", None),
    ],
)
def test_the_option_that_an_answer_chooses(answer, letter):
    assert choose_option(MCQ, answer).letter == letter


@given(st.text(max_size=80))
def test_any_answer_can_be_read(answer):
    assert choose_option(MCQ, answer).letter in {None, "A", "B", "C", "D"}
