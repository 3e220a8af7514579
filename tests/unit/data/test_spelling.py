import pytest

from theobot.data.spelling import american_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("They honor a neighbor.", [("honor", "honour"), ("neighbor", "neighbour")]),
        (
            "Organizations recognize it.",
            [("Organizations", "Organisations".lower()), ("recognize", "recognise")],
        ),
        ("People traveled to the center.", [("traveled", "travelled"), ("center", "centre")]),
        (
            "A skeptic in defense of color",
            [("skeptic", "sceptic"), ("defense", "defence"), ("color", "colour")],
        ),
        ("honor, honor and honor", [("honor", "honour")]),
    ],
)
def test_american_words_are_found_once_with_their_british_form(text, words):
    assert list(american_words(text)) == words


@pytest.mark.parametrize(
    "text",
    [
        "The World Health Organization and Pearl Harbor",
        "honour, neighbour, organise, traveller, centre, practise, practice, license, judgment",
        "honorary laborious vigorous glamorous humorous size prize seize exercise baptism",
        "The size of the prize was capsized.",
    ],
)
def test_british_words_and_names_are_left_alone(text):
    assert list(american_words(text)) == []
