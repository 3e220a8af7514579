from theobot.scripture.verses import single_verses, verses_of


def test_ranges_are_taken_apart_and_missing_places_left_out():
    text = "See Matthew 5:38-40, Qur'an 2:256 and Genesis 60:5."
    assert verses_of(text) == {"Matthew 5:38", "Matthew 5:39", "Matthew 5:40", "Qur'an 2:256"}


def test_a_single_place_is_itself():
    assert single_verses("Dhammapada 129-130") == ["Dhammapada 129", "Dhammapada 130"]
    assert single_verses("John 3:16") == ["John 3:16"]
