"""The filter of questions and answers: the built-in one, and after it one of a school's own."""

from __future__ import annotations

import pkgutil
import sys

from theobot.errors import SettingsError
from theobot.serving.engine import logger
from theobot.serving.options import TextFilter
from theobot.serving.school import find_unsuitable

FAILED = (
    "This cannot be answered now, as the filter of this server fails. Tell the person who runs it."
)
"""What a reader is told where a filter of one's own cannot look at a text."""


def load_filter(named: str | None) -> TextFilter:
    """The built-in filter, and after it the one that was named.

    Args:
        named: "module:function"; None for the built-in one alone.

    Raises:
        SettingsError: it cannot be loaded, whatever goes wrong in its module.
    """
    if named is None:
        return find_unsuitable
    sys.path.insert(0, "")  # rules of one's own lie where one works
    try:
        own = pkgutil.resolve_name(named)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise SettingsError(
            f"--filter {named}: cannot be loaded ({told}). A function in a module that can be "
            "imported from this folder was expected, such as my_rules:check."
        ) from None
    if not callable(own):
        raise SettingsError(
            f"--filter {named}: is no function. One that takes a text was expected, such as "
            "my_rules:check."
        )
    guarded = _guarded(named, own)
    return lambda text: find_unsuitable(text) or guarded(text)


def _guarded(named: str, own: TextFilter) -> TextFilter:
    """A filter that objects where it fails, as nobody knows then what it would have said."""

    def check(text: str) -> str | None:
        try:
            found = own(text)
            if found is not None and not (isinstance(found, str) and found):
                raise TypeError(f"None or a sentence was expected, not {found!r}")
        except Exception:
            logger.exception("--filter %s: failed; what it was shown is withheld.", named)
            return FAILED
        return found

    return check
