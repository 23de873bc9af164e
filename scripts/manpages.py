"""Usage: manpages.py SOURCE TARGET. Makes man pages below TARGET from SOURCE/<name>.<section>.md.

Reads Markdown with markdown-it-py (which rich brings along) and writes man(7). A term with the line
`: what it means` below it is a definition, as in other Markdowns; a row of a table becomes one too.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

_PAGE = re.compile(r"(?P<name>.+)\.(?P<section>[1-8])\.md")
_FONTS = {"strong_open": r"\fB", "em_open": r"\fI", "strong_close": r"\fR", "em_close": r"\fR"}
_HEADINGS = {"h2": ".SH", "h3": ".SS", "h4": ".SS"}
_DEFINITION = "\n: "


def main(source: Path, target: Path) -> None:
    """Write every page."""
    for path in sorted(source.iterdir()):
        if match := _PAGE.fullmatch(path.name):
            folder = target / f"man{match['section']}"
            folder.mkdir(parents=True, exist_ok=True)
            page = roff(path.read_text(encoding="utf-8"), match["name"], match["section"])
            (folder / f"{match['name']}.{match['section']}").write_text(page, encoding="utf-8")


def roff(markdown: str, name: str, section: str) -> str:
    """Give the man page of a text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    title = f'.TH "{name.upper()}" "{section}" "" "mediapipe" "mediapipe"'
    return "\n".join([title, *_blocks(tokens)]) + "\n"


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    """Give the lines of all blocks."""
    around: list[str] = []
    numbers: list[int] = []
    row: list[str] = []
    for token in tokens:
        if token.type.endswith("_open"):
            is_heading = token.type == "heading_open"
            around.append(token.tag if is_heading else token.type.removesuffix("_open"))
        yield from _block(token, around, numbers, row)
        if token.type.endswith("_close"):
            around.pop()


def _block(token: Token, around: list[str], numbers: list[int], row: list[str]) -> Iterator[str]:
    """Give the lines of one token.

    `around` names what it lies in, `numbers` counts the items of each list, `row` gathers cells.
    """
    kind = token.type
    if kind.endswith("_list_open"):
        numbers.append(0)
        yield from [".RS"] if len(numbers) > 1 else []
    elif kind.endswith("_list_close"):
        numbers.pop()
        yield from [".RE"] if numbers else []
    elif kind == "list_item_open":
        numbers[-1] += 1
        yield f".IP {numbers[-1]}. 4" if around[-2] == "ordered_list" else r".IP \(bu 2"
    elif kind == "inline" and around[-1] in ("th", "td"):
        row.append(_words(token.children or []))
    elif kind == "tr_close":
        yield from [] if "thead" in around else [".TP", row[0], "; ".join(filter(None, row[1:]))]
        row.clear()
    elif kind == "inline":
        yield from _text(token, around, tight=bool(numbers))
    elif kind in ("fence", "code_block"):
        yield from (".PP", ".RS 4", ".EX", *map(_line, token.content.splitlines()), ".EE", ".RE")


def _text(token: Token, around: Sequence[str], *, tight: bool) -> Iterator[str]:
    """Give the lines of a heading, a paragraph or a definition."""
    text = _words(token.children or [])
    if around[-1] == "h1":
        return  # the page's name, which .TH has
    if around[-1] in _HEADINGS:
        yield f'{_HEADINGS[around[-1]]} "{text}"'
    elif _DEFINITION in text:
        term, _, meaning = text.partition(_DEFINITION)
        yield from (".TP", _start(term), *map(_start, meaning.split("\n")))
    else:
        yield from [] if tight else [".PP"]
        yield from map(_start, text.split("\n"))


def _words(children: Sequence[Token]) -> str:
    """Give the text of a line's parts, with its fonts; a line break stays one."""
    text = ""
    for child in children:
        if child.type == "code_inline":
            text += rf"\fB{_escape(child.content)}\fR"
        elif child.type in ("softbreak", "hardbreak"):
            text += "\n"
        elif child.type == "text":
            text += _escape(child.content, hyphen="-")
        else:
            text += _FONTS.get(child.type, "")
    # what apropos and whatis look for
    return re.sub(r"^([\w.<>-]+) - ", r"\1 \\- ", text)


def _escape(text: str, *, hyphen: str = r"\-") -> str:
    """Keep roff from reading a text; in code a hyphen is the very character that is typed."""
    return text.replace("\\", r"\e").replace("-", hyphen)


def _line(text: str) -> str:
    return _start(_escape(text))


def _start(text: str) -> str:
    """Keep a line from being taken for an instruction."""
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
