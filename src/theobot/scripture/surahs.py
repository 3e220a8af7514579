"""The 114 surahs: how many ayahs each has, and the names it goes by.

Counts are those of the Kufan numbering of today's printed editions (6,236 in all). Names are Arabic
in a usual transliteration, then others in use, English ones among them; `find_numbers` reads other
transliterations by sound.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher
from functools import cache

AYAHS = tuple(
    int(count)
    for count in "7 286 200 176 120 165 206 75 129 109 123 111 43 52 99 128 111 110 98 135 112 "
    "78 118 "
    "64 77 227 93 88 69 60 34 30 73 54 45 83 182 88 75 85 54 53 89 59 37 35 38 29 18 45 60 49 62 "
    "55 "
    "78 96 29 22 24 13 14 11 11 18 12 12 30 52 52 44 28 28 20 56 40 31 50 40 46 42 29 19 36 25 "
    "22 17 "
    "19 26 30 20 15 21 11 8 8 19 5 8 8 11 11 8 3 9 5 4 7 3 6 3 5 4 5 6".split()
)
"""Ayahs of surahs 1 to 114."""

_NAMES = """
Al-Fatihah, The Opening, The Opener, Umm al-Kitab
Al-Baqarah, The Cow, The Heifer
Ali 'Imran, Aal-e-Imran, Al-Imran, The Family of Imran, The House of Imran
An-Nisa', Women, The Women
Al-Ma'idah, The Table, The Table Spread, The Feast, The Food
Al-An'am, Cattle, The Cattle, Livestock
Al-A'raf, The Heights, The Elevated Places
Al-Anfal, The Spoils of War, Battle Gains, The Spoils
At-Tawbah, Al-Bara'ah, Bara'at, Repentance, The Repentance
Yunus, Jonah
Hud
Yusuf, Joseph
Ar-Ra'd, Thunder, The Thunder
Ibrahim, Abraham
Al-Hijr, The Rocky Tract, Stone Valley
An-Nahl, The Bee, The Bees, Bee
Al-Isra', Bani Isra'il, Banu Isra'il, The Night Journey, Night Journey, The Children of Israel
Al-Kahf, The Cave, Cave
Maryam, Mary
Ta-Ha
Al-Anbiya', The Prophets, Prophets
Al-Hajj, The Pilgrimage, Pilgrimage
Al-Mu'minun, The Believers, Believers
An-Nur, Light, The Light
Al-Furqan, The Criterion, The Differentiator
Ash-Shu'ara', The Poets, Poets
An-Naml, The Ants, The Ant, Ants
Al-Qasas, The Story, The Stories, The Narration
Al-'Ankabut, The Spider, Spider
Ar-Rum, The Romans, The Byzantines, Rome, The Greeks
Luqman, Luqmaan
As-Sajdah, Prostration, The Prostration, Bowing Down
Al-Ahzab, The Clans, The Confederates, The Joint Forces, The Coalition, The Combined Forces
Saba', Sheba
Fatir, Al-Mala'ikah, The Originator, The Creator, The Angels
Ya-Sin
As-Saffat, Ranged in Rows, Those Who Set the Ranks
Sad, Saad
Az-Zumar, The Troops, The Throngs, The Groups, Crowds
Ghafir, Al-Mu'min, The Forgiver, The Believer
Fussilat, Ha-Mim as-Sajdah, Ha Mim, Explained in Detail, Made Distinct
Ash-Shura, Consultation, The Consultation, Counsel
Az-Zukhruf, Ornaments of Gold, The Ornaments of Gold, Gold
Ad-Dukhan, Smoke, The Smoke
Al-Jathiyah, Kneeling, The Kneeling, Crouching
Al-Ahqaf, The Sand Dunes, The Dunes, The Wind-Curved Sandhills
Muhammad, Al-Qital
Al-Fath, Victory, The Victory, Triumph
Al-Hujurat, The Rooms, The Private Apartments, The Private Rooms, The Chambers, The Dwellings
Qaf
Adh-Dhariyat, The Winnowing Winds, Scattering Winds, The Scatterers
At-Tur, The Mountain, The Mount
An-Najm, The Star
Al-Qamar, The Moon, Moon
Ar-Rahman, The Most Merciful, The Most Gracious, The Lord of Mercy, The Beneficent
Al-Waqi'ah, The Event, The Inevitable, That Which Is Coming
Al-Hadid, Iron, The Iron
Al-Mujadilah, Al-Mujadalah, The Dispute, The Pleading Woman, She That Disputes
Al-Hashr, The Gathering, The Exile, Exile, The Mustering
Al-Mumtahanah, She That Is Examined, Women Tested, The Examined One
As-Saff, The Ranks, Solid Lines, The Row
Al-Jumu'ah, Friday, The Day of Congregation, The Congregation
Al-Munafiqun, The Hypocrites, Hypocrites
At-Taghabun, Mutual Neglect, Mutual Disillusion, Mutual Loss and Gain
At-Talaq, Divorce, The Divorce
At-Tahrim, Prohibition, The Prohibition, Banning
Al-Mulk, Tabarak, Sovereignty, The Sovereignty, Dominion, Control, The Kingdom
Al-Qalam, Nun, The Pen, Pen
Al-Haqqah, The Reality, The Inevitable Hour, The Sure Truth
Al-Ma'arij, The Ascending Stairways, The Ways of Ascent
Nuh, Noah
Al-Jinn, The Jinn
Al-Muzzammil, The Enshrouded One, Enfolded, The Wrapped One
Al-Muddaththir, The Cloaked One, Wrapped in his Cloak
Al-Qiyamah, The Resurrection, Resurrection
Al-Insan, Ad-Dahr, Man, Time, Human
Al-Mursalat, The Emissaries, Those Sent Forth, Winds Sent Forth
An-Naba', The Tidings, The Announcement, The Great News
An-Nazi'at, Those Who Pull Out, The Forceful Chargers
'Abasa, He Frowned
At-Takwir, The Overthrowing, Shrouded in Darkness, The Folding Up
Al-Infitar, The Cleaving, Torn Apart
Al-Mutaffifin, At-Tatfif, Defrauding, The Defrauders, Those Who Give Short Measure
Al-Inshiqaq, The Splitting Open, Ripped Apart
Al-Buruj, The Constellations, The Mansions of the Stars, The Towering Constellations
At-Tariq, The Night-Comer, The Morning Star, The Nightcomer
Al-A'la, The Most High
Al-Ghashiyah, The Overwhelming, The Overwhelming Event
Al-Fajr, The Dawn, Dawn, Daybreak
Al-Balad, The City, The Land
Ash-Shams, The Sun, Sun
Al-Layl, The Night, Night
Ad-Duha, The Morning Brightness, The Morning Hours, The Forenoon
Ash-Sharh, Al-Inshirah, Alam Nashrah, Relief, The Expansion, The Relief
At-Tin, The Fig, Fig
Al-'Alaq, Iqra', The Clot, The Clinging Form, The Clinging Clot
Al-Qadr, Power, The Night of Glory, The Power, The Night of Power
Al-Bayyinah, Clear Evidence, The Clear Proof, The Clear Evidence
Az-Zalzalah, Az-Zilzal, The Earthquake, Earthquake
Al-'Adiyat, The Charging Steeds, The Coursers, The Chargers
Al-Qari'ah, The Calamity, The Crashing Blow, The Striking Hour
At-Takathur, Rivalry, Striving for More, Competition, Worldly Gain
Al-'Asr, The Declining Day, Time Through the Ages, The Epoch
Al-Humazah, The Backbiter, The Traducer, The Slanderer
Al-Fil, The Elephant, Elephant
Quraysh, Quraish, Quraysh
Al-Ma'un, Small Kindnesses, Common Kindnesses, Almsgiving
Al-Kawthar, Abundance, The Abundance
Al-Kafirun, The Disbelievers, The Unbelievers
An-Nasr, Help, Divine Support, The Help
Al-Masad, Al-Lahab, Abu Lahab, Tabbat, Palm Fibre, The Palm Fibre, The Flame
Al-Ikhlas, At-Tawhid, Sincerity, Purity of Faith, The Purity, The Unity
Al-Falaq, Daybreak, The Daybreak
An-Nas, Mankind, People, The People
"""

_ARTICLE = re.compile(r"^(?:the|al|an|ar|as|ash|at|az|ad|adh|ath|el|ul|un|us|aal|ali)[\s'-]+")
_SAME_SOUND = (
    ("aa", "a"),
    ("ee", "i"),
    ("oo", "u"),
    ("ou", "u"),
    ("ii", "i"),
    ("uu", "u"),
    ("iy", "i"),
    ("ei", "ay"),
    ("ai", "ay"),
    ("au", "aw"),
    ("sy", "sh"),
    ("dh", "z"),
    ("th", "s"),
    ("kh", "k"),
    ("gh", "g"),
    ("q", "k"),
    ("o", "u"),
    ("e", "i"),
)


def _sound(name: str) -> str:
    """A key under which spellings of one name meet: "Al-Baqarah", "baqara", "Surat ul Baqarah"."""
    letters = unicodedata.normalize("NFKD", name.lower())
    text = "".join(letter for letter in letters if not unicodedata.combining(letter)).strip(" '-")
    text = _ARTICLE.sub("", text, count=1)
    text = re.sub(r"[^a-z]", "", text)
    for written, sound in _SAME_SOUND:
        text = text.replace(written, sound)
    text = re.sub(r"(.)\1", r"\1", text)
    return text.removesuffix("h").removesuffix("t") if len(text) > 4 else text.removesuffix("h")


def _table() -> dict[str, frozenset[int]]:
    table: dict[str, set[int]] = {}
    for number, line in enumerate(_NAMES.strip().splitlines(), start=1):
        for name in line.split(","):
            table.setdefault(_sound(name), set()).add(number)
    return {name: frozenset(numbers) for name, numbers in table.items()}


TITLES = tuple(line.split(",")[0] for line in _NAMES.strip().splitlines())
"""Names of surahs 1 to 114."""

_BY_SOUND = _table()
_ALIKE = 0.8
_LIKELY = 0.7


@cache
def find_numbers(name: str) -> frozenset[int]:
    """The surahs that a name, in whatever spelling, may mean; empty: none known."""
    key = _sound(name)
    if exact := _BY_SOUND.get(key):
        return exact
    best: dict[float, set[int]] = {}
    for known, numbers in _BY_SOUND.items():
        alike = SequenceMatcher(None, key, known, autojunk=False).ratio()
        if alike >= _ALIKE:
            best.setdefault(alike, set()).update(numbers)
    return frozenset(best[max(best)]) if best else frozenset()


def could_mean(name: str, number: int) -> bool:
    """Whether a spelling may stand for a certain surah, generously."""
    if (key := _sound(name)) in _BY_SOUND:
        return number in _BY_SOUND[key]
    return any(
        number in numbers and SequenceMatcher(None, key, known, autojunk=False).ratio() >= _LIKELY
        for known, numbers in _BY_SOUND.items()
    )
