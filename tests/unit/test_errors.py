import pytest

from theobot import errors
from theobot.errors import DataError, InvalidRunError, TheobotError


def test_one_sentence_is_a_list_of_one():
    assert DataError("a.jsonl:1: empty.").problems == ["a.jsonl:1: empty."]


def test_all_problems_are_kept_and_shown_on_lines_of_their_own():
    error = DataError(["a", "b"])
    assert error.problems == ["a", "b"]
    assert str(error) == "a\nb"


@pytest.mark.parametrize(
    "kind", [value for name, value in vars(errors).items() if name.endswith("Error")]
)
def test_every_error_is_a_persons_mistake_and_stands_in_the_tree(kind):
    assert issubclass(kind, TheobotError)
    assert kind.__name__ in (errors.__doc__ or "")


def test_exit_codes():
    assert TheobotError.exit_code == 2
    assert InvalidRunError.exit_code == 5
