"""Markdown of the project as pages: plans, cards, notes.

Identifiers become links, links to files of the project lead to the page that shows them, a number that is bound to
evidence leads to its measurement, and a row that begins with FORM becomes an empty field. Raw HTML is never passed on.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from qms.documents.names import Names

_COMMENT = re.compile(r"<!--\s*(?:=(?P<number>[a-z0-9-]+)|source:\s*(?P<source>.*?)|.*?)\s*-->", re.DOTALL)
_FORM = re.compile(r"FORM \((?P<who>[^)]*)\):\s*(?P<what>.*)")


@dataclass(frozen=True)
class Heading:
    """A heading of a page: its level, its text, its anchor."""

    level: int
    text: str
    anchor: str


@dataclass(frozen=True)
class Document:
    """A Markdown file of the project as a page.

    Attributes
    ----------
    path, page
        File below the project's folder, file name of the page.
    title, body, headings
        What it says.
    forms
        What is left for others to fill in: (who, what).
    """

    path: str
    page: str
    title: str
    body: Markup
    headings: tuple[Heading, ...]
    forms: tuple[tuple[str, str], ...]

    def anchor(self, word: str) -> str:
        """Return the anchor of the heading that begins with a word; empty if none does."""
        return next((heading.anchor for heading in self.headings if heading.text.split()[:1] == [word]), "")


@dataclass
class _Page:
    """What is gathered while one file is rendered."""

    path: str
    headings: list[Heading] = field(default_factory=list)
    forms: list[tuple[str, str]] = field(default_factory=list)


class Prose:
    """Renders Markdown files.

    Parameters
    ----------
    root
        The project's folder.
    names
        What identifiers lead to.
    pages
        Page by path of a file or folder; what is below a folder leads there too.
    """

    def __init__(self, root: Path, names: Names, pages: Mapping[str, str]) -> None:
        self._root = root
        self._names = names
        self._pages = pages

    def read(self, path: str) -> Document:
        """Return a file of the project as a page; `pages` names it."""
        text = (self._root / path).read_text(encoding="utf-8")
        parser = MarkdownIt("commonmark").enable("table")
        tokens = parser.parse(text)
        page = _Page(path)
        for index, token in enumerate(tokens):
            if token.type == "heading_open":
                self._heading(token, tokens[index + 1], page)
        for token in tokens:
            if token.type == "html_block":
                self._raw(token)
            elif token.type == "inline":
                token.children = self._inline(token.children or [], page)
        _forms(tokens, page)
        # The parser escapes what is text, and `_raw` what was HTML.
        body = Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704  nothing raw is left in it
        title = next((h.text for h in page.headings if h.level == 1), PurePosixPath(path).stem)
        return Document(path, self._pages[path], title, body, tuple(page.headings), tuple(page.forms))

    def _heading(self, token: Token, inline: Token, page: _Page) -> None:
        text = "".join(child.content for child in inline.children or [] if child.type in {"text", "code_inline"})
        slug = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "section"
        taken = {heading.anchor for heading in page.headings}
        number = 2
        anchor = slug
        while anchor in taken:
            anchor, number = f"{slug}-{number}", number + 1
        token.attrSet("id", anchor)
        page.headings.append(Heading(int(token.tag[1:]), text, anchor))

    def _inline(self, children: Sequence[Token], page: _Page) -> list[Token]:
        result = []
        open_links: list[bool] = []  # whether each link that is open leads somewhere
        for token in children:
            if token.type == "link_open":
                open_links.append(self._target(token, page))
                kept = open_links[-1]
            elif token.type == "link_close":
                kept = open_links.pop()
            else:
                kept = True
                self._leaf(token, page, inside=any(open_links))
            if kept:
                result.append(token)
        return result

    def _leaf(self, token: Token, page: _Page, *, inside: bool) -> None:
        if token.type == "html_inline":
            self._raw(token)
        elif token.type == "image":
            _become(token, self._image(token, page))
        elif not inside and token.type == "text":
            _become(token, self._names.linked(token.content))
        elif not inside and token.type == "code_inline":
            _become(token, self._names.code(token.content))

    def _target(self, token: Token, page: _Page) -> bool:
        """Let a link lead to the page of a file; tell whether it leads anywhere."""
        href = str(token.attrGet("href") or "")
        if re.match(r"https?://", href):
            token.attrSet("rel", "noreferrer")
            return True
        name, _, anchor = href.partition("#")
        if not name:
            return anchor in {heading.anchor for heading in page.headings}
        wanted = _normal(PurePosixPath(page.path).parent / name)
        unit = self._names.entries.get(wanted.removesuffix(".py").replace("/", "."))
        if unit is not None:
            token.attrSet("href", unit.href)
            return True
        while wanted != "." and wanted not in self._pages:
            wanted = str(PurePosixPath(wanted).parent)
        if wanted == ".":
            return False
        # Headings of other pages are not known yet: the link leads to the page.
        token.attrSet("href", self._pages[wanted])
        return True

    def _image(self, token: Token, page: _Page) -> Markup:
        path = self._root / _normal(PurePosixPath(page.path).parent / str(token.attrGet("src") or ""))
        if path.suffix != ".png" or not path.is_file():
            return Markup("<em>{}</em>").format(token.content)
        data = base64.b64encode(path.read_bytes()).decode()
        return Markup('<img alt="{}" src="data:image/png;base64,{}">').format(token.content, data)

    def _raw(self, token: Token) -> None:
        """Replace comments by what they say of a number; show any other HTML as text."""
        parts: list[Markup] = []
        end = 0
        for match in _COMMENT.finditer(token.content):
            parts += [escape(token.content[end : match.start()]), self._comment(match)]
            end = match.end()
        _become(token, Markup("").join([*parts, escape(token.content[end:])]))

    def _comment(self, match: re.Match[str]) -> Markup:
        if match["number"]:
            return Markup('<sup class="bound">{}</sup>').format(self._names.link(match["number"], "measured"))
        if match["source"]:
            return Markup('<span class="source">Source: {}</span>').format(match["source"])
        return Markup("")


def _become(token: Token, html: Markup) -> None:
    token.type = "html_inline" if token.type != "html_block" else "html_block"
    token.content = str(html)
    token.children = None


def _forms(tokens: Sequence[Token], page: _Page) -> None:
    """Mark the rows of tables that begin with FORM, and put an empty field below what has to be entered."""
    rows = [index for index, token in enumerate(tokens) if token.type == "tr_open"]
    for start in rows:
        cells = [token for token in _until(tokens[start:], "tr_close") if token.type == "inline"]
        match = _FORM.match(cells[0].content) if cells else None
        if match is None:
            continue
        tokens[start].attrSet("class", "form")
        page.forms.append((match["who"], match["what"]))
        box = Token("html_inline", "", 0, content='<span class="blank">not filled in</span>')
        entry = cells[min(1, len(cells) - 1)]
        entry.children = [*(entry.children or []), box]


def _until(tokens: Sequence[Token], kind: str) -> Sequence[Token]:
    end = next((index for index, token in enumerate(tokens) if token.type == kind), len(tokens))
    return tokens[:end]


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in {".", ".."}:
            parts.append(part)
    return "/".join(parts) or "."
