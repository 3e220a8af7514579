import pytest
from hypothesis import given
from hypothesis import strategies as st

from theobot.bench.scoring.numbers import read_number


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("6", 6),
        ("x = 6", 6),
        ("3 x 4 = 12", 12),
        ("The answer is 54.40 (15% off 64).", 54.4),
        (r"So \boxed{7} it is, from 9", 7),
        ("1,234.5", 1234.5),
        ("two hundred and five", 205),
        ("1/4", 0.25),
        ("-2", -2),
        ("25%", 25),
    ],
)
def test_the_number_that_an_answer_comes_to(answer, value):
    found = read_number(answer)
    assert found is not None
    assert found.value == pytest.approx(value)


def test_no_number():
    assert read_number("none at all") is None


@given(st.text(max_size=60))
def test_any_text_can_be_read(text):
    read_number(text)
