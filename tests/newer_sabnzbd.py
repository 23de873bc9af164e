"""SABnzbd of today, from Debian's newest package and the libraries it asks for; not installed."""

from __future__ import annotations

import os
import subprocess
import venv
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
OWN = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
APT = """\
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "{folder}/lists";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
"""
# the versions that SABnzbd 5.1 asks for
LIBRARIES = (
    "sabctools~=9.6.0", "CT3", "cherrypy==18.10.0", "cheroot==11.1.2", "feedparser", "configobj",
    "portend", "chardet", "PySocks", "puremagic", "rarfile", "hachoir", "charset-normalizer",
    "certifi", "python-dateutil", "more-itertools", "guessit", "rebulk", "cryptography", "orjson",
    "apprise", "jaraco.text==3.8.1", "jaraco.classes==3.4.0", "jaraco.collections==5.0.0",
    "jaraco.context==4.3.0",
)  # fmt: skip


def unpack(folder: Path) -> list[str]:
    """Give the command line of the newest SABnzbd; skips, and says so, where there is none."""
    (folder / "lists" / "partial").mkdir(parents=True)
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    # from where this machine has its own packages
    mirrors = subprocess.run(OWN, check=False, capture_output=True, text=True).stdout.split()
    mirror = min(mirrors, key=len, default="")
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} sid contrib\n")
    python = folder / "venv" / "bin" / "python"
    for words in (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "download", "sabnzbdplus"],
        ["sh", "-c", "dpkg-deb -x sabnzbdplus_*.deb unpacked"],
    ):
        run(words, folder)
    venv.create(folder / "venv", with_pip=True)
    run([str(python), "-m", "pip", "install", "--quiet", *LIBRARIES], folder)
    script = folder / "unpacked" / "usr" / "bin" / "sabnzbdplus"
    inner = "/usr/share/sabnzbdplus"
    script.write_text(script.read_text().replace(f"'{inner}'", f"'{folder}/unpacked{inner}'"))
    return [str(python), "-OO", str(script)]


def run(words: list[str], folder: Path) -> None:
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    ended = subprocess.run(
        words, cwd=folder, env=environment, check=False, capture_output=True, text=True
    )
    if ended.returncode != 0:
        pytest.skip(f"NOT TESTED: the newest SABnzbd cannot be had: {ended.stderr[-300:]}")
