"""The man pages that `make install` makes of docs/reference."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent

PAGE = r"""# toy(8)

## NAME
toy - play with --words

## OPTIONS
`--dry-run` *FILE*, `-n`
: what it means,
  on two lines; see [other(1)](other.1.md) \ and **this**

### Below
1. first
2. second
   - inner

| status | meaning | more |
|---|---|---|
| 75 | later | `try` |

    .hidden 'quoted' \n --flag

'quoted' at a line's start
"""

ROFF = r""".TH "TOY" "8" "" "mediapipe" "mediapipe"
.SH "NAME"
.PP
toy \- play with --words
.SH "OPTIONS"
.TP
\fB\-\-dry\-run\fR \fIFILE\fR, \fB\-n\fR
what it means,
on two lines; see other(1) \e and \fBthis\fR
.SS "Below"
.IP 1. 4
first
.IP 2. 4
second
.RS
.IP \(bu 2
inner
.RE
.TP
75
later; \fBtry\fR
.PP
.RS 4
.EX
\&.hidden 'quoted' \en \-\-flag
.EE
.RE
.PP
\&'quoted' at a line's start
"""


def test_a_page_is_what_man_understands(tmp_path: Path) -> None:
    (tmp_path / "toy.8.md").write_text(PAGE)
    (tmp_path / "notes.md").write_text("# no page")
    script = CHECKOUT / "scripts" / "manpages.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), str(tmp_path)], check=True)
    assert (tmp_path / "man8/toy.8").read_text() == ROFF
    assert len([*tmp_path.rglob("*")]) == 4


@pytest.mark.parametrize("page", [*(CHECKOUT / "docs/reference").glob("*.[1-8].md")], ids=str)
def test_the_reference_is_written_as_man_pages_are(page: Path) -> None:
    name, section, _ = page.name.rsplit(".", 2)
    lines = page.read_text().splitlines()
    assert lines[:4] == [f"# {name}({section})", "", "## NAME", lines[3]]
    assert " - " in lines[3]
