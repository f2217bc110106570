"""Where every identifier stands in the documents, so that each mention of one is a link to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup, escape

_MENTION = re.compile(
    r"`(?P<code>[^`\n]+)`"
    r"|(?P<item>\b(?:INT|URS|SRS|HAZ|RSK|PRB|GLD)-[0-9]{3}\b|\bSOUP-[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\b"
    r"|\b62304-[4-9](?:\.[0-9]+){1,2}\b)"
    r"|(?P<test>\btests/[\w/]+\.py::\w+(?:::\w+)?)"
    r"|(?P<unit>\b(?:node|models|validation|qms)(?:\.[a-z_][a-z0-9_]*)+\b)"
)


@dataclass(frozen=True)
class Entry:
    """One thing that can be linked to.

    Attributes
    ----------
    name, title, text
        Identifier, title, and what else a search should find it by.
    kind
        What it is, as a word for the reader.
    page
        File name of the page; the anchor in it is the name.
    """

    name: str
    title: str
    kind: str
    page: str
    text: str = ""

    @property
    def href(self) -> str:
        """Page and anchor."""
        return f"{self.page}#{quote(self.name, safe='/:.-_')}"


class Names:
    """All that can be linked to, by its identifier.

    Parameters
    ----------
    entries
        By name.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries

    def link(self, name: str, shown: str = "") -> Markup:
        """Return a link to an identifier; its text alone if it stands nowhere."""
        entry = self.entries.get(name)
        if entry is None:
            return Markup('<span class="id">{}</span>').format(shown or name)
        link = Markup('<a class="id" href="{}" title="{}">{}</a>')
        return link.format(entry.href, entry.title, shown or name)

    def linked(self, text: str) -> Markup:
        """Return a text in which every identifier is a link, and what stands in backticks is code."""
        parts: list[Markup] = []
        end = 0
        for match in _MENTION.finditer(text):
            parts += [escape(text[end : match.start()]), self._mention(match)]
            end = match.end()
        return Markup("").join([*parts, escape(text[end:])])

    def code(self, text: str) -> Markup:
        """Return a piece of code, a link if it is an identifier as a whole."""
        return Markup("<code>{}</code>").format(self.link(text) if text in self.entries else text)

    def _mention(self, match: re.Match[str]) -> Markup:
        text = match[0]
        if match["code"] is not None:
            return self.code(match["code"])
        if match["unit"] is None or text in self.entries:
            return self.link(text) if text in self.entries else escape(text)
        unit = text
        while "." in unit and unit not in self.entries:  # a function: the link leads to its module
            unit = unit.rpartition(".")[0]
        return self.link(unit, text) if unit in self.entries else escape(text)
