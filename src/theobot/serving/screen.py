"""An answer on its way to the reader, word by word past a filter."""

from __future__ import annotations

from theobot.serving.options import TextFilter

_SEEN = 400
"""Letters before the newest word that the filter is shown while the answer is being written."""


class Screen:
    """Lets whole words through until the filter objects.

    Args:
        check: see `TextFilter`; None lets everything through as it comes.
    """

    def __init__(self, check: TextFilter | None) -> None:
        self._check = check
        self._passed = ""
        self._held = ""
        self.objection: str | None = None

    def pass_on(self, piece: str, *, last: bool = False) -> str:
        """The part of the answer that may be shown now.

        Args:
            piece: the next piece of the answer.
            last: whether nothing follows: the last word is whole, and the filter sees everything.
        """
        if self._check is None or self.objection is not None:
            return "" if self.objection is not None else piece
        text = self._held + piece
        end = len(text) if last else max(text.rfind(" "), text.rfind("\n")) + 1
        words, self._held = text[:end], text[end:]
        if words or last:
            seen = self._passed if last else self._passed[-_SEEN:]
            self.objection = self._check(seen + words)
        if self.objection is not None:
            return ""
        self._passed += words
        return words
