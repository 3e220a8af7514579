"""What a server does for pupils beyond answering: a way to help, a simple filter, hints first.

All of it is fixed rules that can be read here. They see a part of what matters and no more: not
irony, not other languages, not what is only implied. They replace no adult.
"""

from __future__ import annotations

import re

SIGNPOST = """\
This may be about something very hard that is happening to you or to somebody you know. A computer \
program cannot help with that. People can, and they want to.

- Is anyone in danger now? Call 999.
- Tell an adult you trust: at home, at school (a teacher, the safeguarding lead), or your doctor.
- Childline: 0800 1111, free, for anyone under 19; childline.org.uk
- Samaritans: 116 123, free, at any time, for anyone.

If you asked this for Religious Studies, please ask it again in other words."""
"""Stands in place of an answer when a message shows distress; no model is asked."""

SIGNPOST_NOTICE = "This is a fixed text. No model wrote it."

REMINDER = (
    "If something is hard for you: tell an adult you trust, or call Childline (0800 1111) or "
    "Samaritans (116 123). In danger: 999."
)
"""Beside later answers of a conversation in which a message showed distress."""

HINTS_PROMPT = """\
{question}

Do not answer this question yet. Help me to answer it myself: list three to five short points that \
a good answer would deal with, without explaining them. Then ask me one question that gets me \
started on the first point."""
"""What is asked instead of a question where hints come first."""

_KIN = (
    r"(?:mum|mom|mam|dad|mother|father|step ?(?:dad|mum|father|mother)|parents?|brother|sister"
    r"|uncle|aunt(?:ie|y)?|cousin|grand(?:ad|dad|pa|father|mother|ma)|nan|family|boyfriend"
    r"|girlfriend|ex|partner|teacher|coach|carer|foster \w+|tutor|neighbour|boss)"
)
_FRIEND = rf"(?:my|a|our) (?:best |close |good )?(?:friend|mate|bestie|{_KIN})"
_SELF = r"(?:myself|my self)"
_END_SELF = (
    rf"(?:die(?! (?:the|my|it|a)\b)|be dead|kill {_SELF}|unalive {_SELF}|kms"
    rf"|hang {_SELF}|drown {_SELF}|overdose"
    rf"|commit suicide|(?:hurt|harm|cut|burn|stab) {_SELF}|end (?:it all|my (?:own )?life)"
    r"|take my (?:own )?life|(?:not|never) (?:wake up|exist|be alive|be here)"
    r"|disappear (?:forever|for ever)|never have been born)"
)
_ENDING_SELF = (
    rf"(?:killing|hurting|harming|cutting|burning|starving|hanging) {_SELF}|suicide"
    r"|(?:ending|taking) my (?:own )?life|ending it all|overdosing|self harm(?:ing)?"
)
_STOP = r"(?= ?(?:any ?more|any longer|now|[.!?,;]|but\b|and\b|because\b|$))"
_SOMETIMES = r"(?:(?:really|just|sometimes|often|always|still|only|even|actually|also|so|do) )*"
_WISH = (
    r"(?:want(?:ed)? to|wanna|need to|would like to|d like to|am going to|m going to|m gonna|gonna"
    r"|plan(?:ning)? to|intend to|decided to|am about to|m about to|am ready to|m ready to"
    r"|tried to|am trying to|m trying to|wish i could|wish to|feel like i want to"
    r"|would rather)"
)
_PEOPLE = rf"(?:him|her|them|some(?:one|body)|every(?:one|body)|people|my {_KIN}|my class)"

_DISTRESS = re.compile(
    "|".join(
        [
            # What the writer wants to do to themself, does, or thinks of.
            rf"\bi {_SOMETIMES}{_WISH} {_SOMETIMES}{_END_SELF}(?! (?:with dignity|to sin|to self))",
            rf"\bi {_SOMETIMES}(?:will|might|may|could|should) {_SOMETIMES}(?:kill|hang|drown|hurt"
            rf"|harm|unalive) {_SELF}",
            rf"\b(?:i|i ve|i m|i am|i have) {_SOMETIMES}(?:been |keep |kept |started |am )*"
            rf"(?:thinking (?:of|about)|thought (?:of|about)|think (?:of|about)|considering"
            rf"|planning|having thoughts (?:of|about)|have thoughts (?:of|about))"
            rf" (?:my own )?(?:{_ENDING_SELF})(?= ?(?:[.!?,;]|$|a lot|again|every|all|lately|too"
            r"|sometimes|and|because|tonight|now))",
            rf"\bi (?:ve |have |am |m )?(?:been |keep |kept |started )+(?:{_ENDING_SELF})",
            rf"\bi {_SOMETIMES}(?:self harm|cut {_SELF}{_STOP}|hate {_SELF} so much)",
            r"\bi (?:am |m |feel |ve been |have been |was )(?:feeling )?(?:so |very |really )?"
            r"suicidal\b",
            r"\b(?:i (?:have|ve got|m having|am having|get|keep having)|my) suicidal thoughts",
            rf"\bhow (?:do|can|could|should|would|many \w+ (?:do|would|should)) i (?:\w+ )?"
            rf"(?:need to |have to |take to )*{_END_SELF}",
            rf"\b(?:ways?|how|method) (?:for me )?to (?:kill|hang|hurt|harm|cut|unalive) {_SELF}",
            r"\bhow many (?:pills|tablets|paracetamol)\b.{0,40}\b(?:die|overdose|kill)",
            # Not wanting to live.
            rf"\bi (?:don t|do not|no longer|can t|cannot|can not) {_SOMETIMES}(?:want to |wanna )?"
            rf"(?:live|be alive|exist|go on|go on living|carry on living){_STOP}",
            r"\bi (?:don t|do not) want to (?:be here|wake up) (?:any ?more|tomorrow|again)",
            r"\bi wish (?:that )?i (?:was|were|had never been|d never been|was never|were never) "
            r"(?:dead|born|not alive|not here)",
            r"\bi (?:have|see|ve got|can see|feel(?: like)?(?: there is| there s)?|m left with) no "
            r"(?:reason|point|will) (?:to|in|for) (?:live|living|go on|going on|being alive|be "
            r"here)",
            r"\b(?:would|d|will) (?:all )?be better off (?:without me|if i (?:was|were) dead|dead)",
            r"\b(?:no ?(?:one|body)|they) (?:would|d|will) (?:even )?(?:care|notice|miss me|cry)"
            r" if i (?:died|was dead|were dead|was gone|disappeared|killed)",
            rf"\bi (?:feel|am|m) (?:so |completely |totally )?(?:hopeless|worthless){_STOP}",
            # What others do to the writer.
            rf"\bmy {_KIN} (?:always |often |sometimes |still |just )*(?:keeps? |is |are |has been "
            r"|have been |has |have |s |was )?(?:hit(?:s|ting)?|beat(?:s|ing|en)?|hurt(?:s|ing)?"
            r"|touch(?:es|ed|ing)|abus(?:es|ed|ing)|rap(?:es|ed|ing)|punch(?:es|ed|ing)"
            r"|kick(?:s|ed|ing)|chok(?:es|ed|ing)|threaten(?:s|ed|ing)|assault(?:s|ed|ing)"
            r"|molest(?:s|ed|ing)) me\b(?! (?:at|in|to|by|on)\b)",
            r"\b(?:someone|somebody|he|she|a man|a boy|a grown up|an adult) (?:keeps |is |has been "
            r"|s )(?:hitting|beating|hurting|touching|abusing|raping|threatening|following|grooming"
            r"|blackmailing) me\b",
            r"\bi (?:am|m|was|have been|ve been|got|am being|m being|was being) (?:sexually )?"
            r"(?:abused|raped|assaulted|molested|groomed|trafficked|beaten|blackmailed)\b",
            rf"\b(?:my {_KIN}|they) (?:is |are |s |re |want to |wants to )?(?:forc(?:e|es|ing)"
            r"|mak(?:e|es|ing)) me (?:to )?(?:marry|get married)",
            r"\bi (?:am|m) being (?:forced|made) (?:to marry|into (?:a )?marriage|to get married)",
            r"\bi (?:am|m|feel) (?:\w+ )?(?:scared|afraid|frightened|terrified) (?:to go|of going) "
            r"home|\bi (?:am|m|do|don t)(?: not)? (?:feel )?(?:not )?safe at home",
            rf"\bi (?:keep |always )?(?:make|making|made) {_SELF} (?:be )?(?:sick|throw up|vomit)",
            # What somebody near to the writer wants, and what the writer wants to do to others.
            rf"\b{_FRIEND} (?:\w+ ){{0,2}}(?:wants? to|tried to|is going to|s going to|is gonna"
            r"|said (?:he|she|they) wants? to|says (?:he|she|they) wants? to|is planning to) "
            r"(?:die|kill|end (?:it all|(?:his|her|their) life)|hurt (?:him|her|them)|commit)",
            rf"\b{_FRIEND} (?:is |s |has been |keeps )(?:suicidal|self harming|cutting (?:him|her"
            r"|them)|hurting (?:him|her|them)sel)",
            rf"\bi {_SOMETIMES}{_WISH} (?:kill|stab|shoot|murder|hurt|beat up) {_PEOPLE}\b",
        ]
    )
)

_QUOTED = re.compile(r'"[^"]*"')

_VIOLENCE = (
    r"how (?:do|can|could|would|to|should) (?:i |you |we |one |someone )?(?:\w+ )?"
    r"(?:make|build|construct|assemble|buy|get hold of|3d print) (?:an? |my own |some |the )?"
    r"(?:\w+ )?(?:bombs?|explosives?|grenades?|guns?|firearms?|napalm|nerve gas|poisons?|ricin"
    r"|molotov(?: cocktail)?s?)\b"
    r"|(?:instructions|recipe|step by step guide|tutorial) (?:for|to|on) (?:making|building|make"
    r"|build) (?:an? )?(?:\w+ )?(?:bombs?|explosives?|guns?|poisons?)\b"
    r"|how (?:do|can|could|would|to|should) (?:i |you |we )?(?:kill|murder|poison|strangle) "
    r"(?:someone|somebody|people|my \w+|him|her|them)\b"
    r"|how (?:do|can|to) (?:i |you |we )?(?:join|contact) (?:isis|daesh|al qaeda|a terrorist)"
)
_EXPLICIT = (
    r"\b(?:porn|porno|pornhub|nudes|blow ?job|hand ?job|wank(?:ing|er)?|dildo|cum ?shot"
    r"|gang ?bang|deep ?throat|masturbate (?:me|you)|sext(?:ing)? (?:me|you)"
    r"|fuck(?:ing|ed)? (?:me|you|her|him)|suck my)\b"
)
_SLURS = (
    r"\b(?:nigg(?:er|a)s?|paki(?:s)?|k[iy]kes?|yids?|faggots?|trannys?|trannies|towel ?heads?"
    r"|rag ?heads?|sand ?niggers?|spastics?|retard|coons?|wogs?|gypp?os?)\b"
)
_UNSUITABLE = re.compile("|".join([_VIOLENCE, _EXPLICIT, _SLURS]))

UNSUITABLE = (
    "This is not something this server writes about. Ask a question about religion, philosophy or "
    "ethics; if something worries you, talk to an adult you trust."
)


def shows_distress(message: str) -> bool:
    """Whether the writer of a message seems to be in distress or danger.

    Words in double quotation marks are not counted, as questions quote statements; unless there
    is nothing else.

    Args:
        message: one message of a person.
    """
    plain = _plain(message)
    unquoted = _QUOTED.sub(" ", plain)
    return _DISTRESS.search(_spaced(unquoted if unquoted.strip(" .?!") else plain)) is not None


def find_unsuitable(text: str) -> str | None:
    """The filter that a server has by itself: a sentence for the reader, or None.

    Looks for requests to be shown how to hurt people, for sexually explicit words and for slurs.
    What it does not find may still be unsuitable.

    Args:
        text: a question, or a part of an answer.
    """
    return UNSUITABLE if _UNSUITABLE.search(_spaced(_plain(text))) else None


def _plain(text: str) -> str:
    return re.sub("[“”„«»]", '"', text.casefold())


def _spaced(text: str) -> str:
    """Words with a single space between, so that "I'm", "I’m", "im" and "i m" are one."""
    words = " ".join(re.sub(r"[^\w.!?,;]+|_+", " ", text).split())
    return re.sub(r"\b(?:(i)(m|ve)|(don|can|won)(t))\b", r"\1\3 \2\4", words)
