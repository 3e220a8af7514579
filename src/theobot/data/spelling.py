"""American spellings that British schools mark as wrong, and their British forms.

Only words that cannot be anything else are listed ("practice" and "license" are a noun here and a
verb there). The Oxford spelling -ize is British too, yet schools and exam boards write -ise, and a
set should be of one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_OUR = """arbor ardor armor behavior clamor color demeanor discolor dishonor endeavor favor fervor
    flavor glamor harbor honor humor labor misbehavior neighbor odor parlor rancor rigor rumor
    savior splendor tumor valor vapor vigor"""
_OUR_ENDS = ("", "s", "ed", "ing", "ly", "al", "able", "ably", "ite", "ites", "ful", "less", "hood")
_RE = "caliber center fiber liter luster meager saber somber specter theater"
_IZE = """agon antagon apolog author bapt brutal capital categor central character civil colon
    critic democrat demon dramat emphas empath equal evangel fantas final general global harmon
    hospital ideal immun individual internal jeopard legal legitim local marginal material maxim
    memor minim mobil modern monopol moral national natural neutral normal organ ostrac patron penal
    personal popular priorit public radical rational real recogn reconcept ritual romantic
    scrutin secular sens social special spiritual stabil standard steril stigmat subsid summar
    symbol sympath terror theor traumat util vandal verbal victim visual"""
_IZE_ENDS = ("e", "es", "ed", "er", "ers", "ing", "able", "ation", "ations", "ational")
_DOUBLED = """cancel channel counsel dial equal fuel label level marvel model quarrel signal total
    travel tunnel worship"""
_OTHER = """analyze:analyse analyzed:analysed analyzing:analysing catalog:catalogue
    counselor:counsellor counselors:counsellors defense:defence defenses:defences dialog:dialogue
    enrollment:enrolment fulfill:fulfil fulfills:fulfils fulfillment:fulfilment gray:grey
    jewelry:jewellery maneuver:manoeuvre mom:mum offense:offence offenses:offences
    paralyze:paralyse paralyzed:paralysed plow:plough plows:ploughs plowshares:ploughshares
    pretense:pretence skeptic:sceptic skeptical:sceptical skepticism:scepticism skeptics:sceptics
    skillful:skilful skillfully:skilfully willful:wilful willfully:wilfully"""


def _table() -> dict[str, str]:
    table = dict(pair.split(":") for pair in _OTHER.split())
    for stem in _OUR.split():
        table |= {stem + end: f"{stem[:-2]}our{end}" for end in _OUR_ENDS}
    for word in _RE.split():
        table |= {word + end: f"{word[:-2]}re{end}" for end in ("", "s", "d")}
    for stem in _IZE.split():
        table |= {f"{stem}iz{end}": f"{stem}is{end}" for end in _IZE_ENDS}
    for stem in _DOUBLED.split():
        table |= {stem + end: stem + stem[-1] + end for end in ("ed", "ing", "er", "ers")}
    return table


_BRITISH = _table()
_WORD = re.compile(r"[A-Za-z]+")


def american_words(text: str) -> Iterator[tuple[str, str]]:
    """Each American spelling of a text once, with its British form.

    A word with a capital inside a sentence is left alone: it belongs to a name, such as "World
    Health Organization".
    """
    seen: set[str] = set()
    for found in _WORD.finditer(text):
        word = found[0].lower()
        if word not in _BRITISH or word in seen:
            continue
        before = text[: found.start()].rstrip(" \"'(\u201c\u2018")
        if found[0][0].isupper() and before and before[-1] not in ".!?:\n":
            continue
        seen.add(word)
        yield found[0], _BRITISH[word]
