import pytest

from theobot.scripture.verses import single_verses, verses_of


def test_ranges_are_taken_apart_and_missing_places_left_out():
    text = "See Matthew 5:38-40, Qur'an 2:256 and Genesis 60:5."
    assert verses_of(text) == {"Matthew 5:38", "Matthew 5:39", "Matthew 5:40", "Qur'an 2:256"}


def test_a_single_place_is_itself():
    assert single_verses("Dhammapada 129-130") == ["Dhammapada 129", "Dhammapada 130"]
    assert single_verses("John 3:16") == ["John 3:16"]


def test_a_range_over_chapters_holds_the_verses_of_both():
    verses = single_verses("Matthew 5:3-6:2")
    assert verses[0] == "Matthew 5:3"
    assert verses[-3:] == ["Matthew 5:48", "Matthew 6:1", "Matthew 6:2"]
    assert len(verses) == 46 + 2
    assert verses_of("Matthew 5:3-6:2") & verses_of("Matthew 5:4")
    assert not verses_of("Matthew 5:3-6:2") & verses_of("Matthew 6:3")


@pytest.mark.parametrize(
    ("reference", "middle", "count"),
    [
        ("Genesis 1:31-3:1", "Genesis 2:25", 1 + 25 + 1),
        ("Psalms 22:30-23:1", "Psalm 22:31", 3),
        ("Qur'an 1:6-2:2", "Qur'an 1:7", 4),
        ("Bhagavad Gita 1:47-2:1", "Bhagavad Gita 1:47", 2),
        ("Rig Veda 1.190-2.1", "Rig Veda 1.191", 3),
        ("Mishnah Avot 1:18-2:1", "Mishnah Avot 1:18", 2),
        ("SN 1.2-2.2", "SN 2.1", 3),
    ],
)
def test_a_range_over_chapters_of_any_work_is_taken_apart(reference, middle, count):
    verses = single_verses(reference)
    assert middle in verses
    assert len(set(verses)) == len(verses) == count
