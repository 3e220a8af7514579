"""Words quoted beside a citation."""

import pytest

from theobot.scripture import find_citations, find_pseudo_scripture


def verdict(text: str) -> str | None:
    (citation,) = find_citations(text)
    return citation.quotation.verdict.value if citation.quotation else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"For God so loved the world, that he gave his only begotten Son" (John 3:16)', "matches"),
        ("“God created man in his own image” (Genesis 1:27)", "matches"),
        ("Mark 12:31 says, ‘Thou shalt love thy neighbor as thyself’.", "matches"),
        ("Mark 12:31 says, ‘You shall love your neighbour as yourself’.", "matches"),
        ('Exodus 20:13 commands "You shall not murder".', "cannot_tell"),
        ("The words 'there is no compulsion in religion' (Qur'an 2:256)", "cannot_tell"),
        ('Exodus 20:14 says "Thou shalt commit adultery".', "differs"),
        ('"Money is the root of all evil" (1 Timothy 6:10)', "differs"),
        (
            '"Blessed are the peacemakers: for they shall be called sons of God" (Matthew 5:3)',
            "differs",
        ),
        ("John 3:16 is famous.", None),
        ('The word "love" stands in John 3:16.', None),
    ],
)
def test_the_verdict_on_a_quotation(text, expected):
    assert verdict(text) == expected


def test_the_span_of_the_quotation_holds_in_the_original():
    text = "He said ‘Love your neighbour as yourself’ (Mark 12:31)."
    (citation,) = find_citations(text)
    assert citation.quotation is not None
    quoted = citation.quotation
    assert text[quoted.start : quoted.end] == quoted.text == "Love your neighbour as yourself"


@pytest.mark.parametrize(
    "text",
    [
        "The Bible says God helps those who help themselves.",
        "Scripture teaches that money is the root of all evil.",
        "The Prophet said: seek knowledge even in China.",
        "Cleanliness is next to godliness, says the Bible.",
    ],
)
def test_pseudo_scripture_is_found(text):
    assert len(find_pseudo_scripture(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"God helps those who help themselves" is not in the Bible.',
        "The love of money is the root of all evil.",
        "The saying that cleanliness is next to godliness comes from Wesley.",
    ],
)
def test_a_text_that_puts_it_right_is_left_alone(text):
    assert find_pseudo_scripture(text) == []
