"""The layers, as one table, and the rules that keep one thing in one place; read by `ast`."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parent.parent / "mediapipe"
LONGEST = 300

# The first row whose pattern fits a module holds. "." is the package itself (its version), CRAFT
# are the modules of the line above the table. What stands below `if TYPE_CHECKING` does not run,
# and does not count. `facts` and `gradually` are craft of no layer, and for all.
CRAFT = """
items archives choosing scanning remembering
renaming hashing readback early sending extracting proving telling
listing claims surroundings holdings judging confirming folders deletion removing
clearing sources restoring step
proofs abandoned companions unheld copies linking rules settling placing moving
shapes remains finished delivering usenet spool
unmonitoring imports losses indexers
regular
"""
LAYERS = """
module               | may import of ours                                       | third parties
---------------------|----------------------------------------------------------|---------------
.                    |                                                          |
facts gradually      |                                                          |
plan ports bucket errors records titles usenet |                                |
units names places streams owner lifecycle triggers debounce bell descriptions regular | |
disk disk.*          | errors plan regular disk.*                               |
config               | places units                                             |
config_sabnzbd       |                                                          |
config_load          | config config_sabnzbd errors regular units                       |
layout               | config disk.* errors                                     |
database             | errors                                                   |
runs moves           | records runs                                             |
sightings file_lists deeds tallies | records runs                               |
seeding              | sightings                                                |
history              | database deeds errors file_lists moves records runs seeding tallies |
spool                | errors history plan regular usenet                               |
audit                | plan regular                                                    |
changes              | audit plan                                               |
sources              | audit changes layout records                             |
runner               | plan errors history audit                                |
archives judging     | layout names plan records                                |
unmonitoring         | CRAFT errors history layout plan runner titles             |
removing settling    | CRAFT audit disk.* errors plan runner                      |
clearing             | audit layout plan errors                                 |
renaming             | audit layout disk.* errors                               |
CRAFT|. CRAFT layout names places runner plan ports disk.* config errors history records|
jobs                 |                                                          |
jobs.categories      | plan runner errors                                       |
jobs.*               | CRAFT layout names runner plan ports disk.* config errors history records |
adapters             |                                                          |
adapters.qbittorrent | ports config errors layout plan units adapters.*         | qbittorrentapi
adapters.http        | errors                                                   | httpx
adapters.arr         | config errors resilient_arr                              |
adapters.arr_library | adapters.arr config errors layout titles                 |
adapters.sabnzbd     | adapters.http errors usenet                              |
adapters.rclone_mount | adapters.* config disk.* errors regular                         |
adapters.journal     | adapters.process errors                                  |
adapters.notify      | alerts errors regular                                            | apprise
adapters.inotify     | disk.*                                                   | watchdog
adapters.*           | bucket ports config errors layout plan regular units adapters.*         |
resilient_arr        |                                             | pyarr requests urllib3
latch                | errors history plan records regular                              |
app_tallies apps     |                                                          |
doctor               |                                                          |
doctor.*             | config disk.* errors indexers layout plan regular doctor.*       |
building             | adapters.* app_tallies errors latch config regular units         |
progress             | plan                                                     | rich
report               | plan streams                                             |
log                  | streams                                                  | structlog
idle                 | . disk.* places regular streams triggers cli                     |
writing              | config disk.* errors                                     |
logs                 | adapters.process errors                                  |
mount_arguments      |                                                          |
arguments            | . descriptions errors logs mount_arguments units         |
usenet_status        | plan                                                     |
status               | app_tallies latch plan usenet_status                      |
explanation          | plan runner                                              |
verdicts             | explanation judging layout names plan                    |
subjects             | explanation layout names errors plan records disk.*      |
explain              | * jobs.*                                                 |
addresses            | config errors layout                                     |
mounting remote_listing cached warming | * adapters.* disk.*                    |
examining            | * adapters.* doctor.*                                    |
waiting              | * adapters.* disk.*                                      |
watch alert          | * adapters.* disk.*                                      |
alerts               | plan records                                             |
alert_memory         | alerts regular                                                   |
inquiries            | * adapters.* disk.*                                      |
dispatch             | jobs.* places                                            |
cli                  | * . jobs.* adapters.* disk.*                             |
testing testing.*    | * . jobs.* adapters.* disk.* testing testing.*           | *
"""


@dataclass(frozen=True)
class Import:
    """One import statement's target."""

    module: str
    line: int
    runs: bool
    """False below `if TYPE_CHECKING`."""


@dataclass(frozen=True)
class Module:
    """One file of the package; the name is without the package's own."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def of_the_tests(self) -> bool:
        return self.name.split(".")[0] == "testing"


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    modules: tuple[str, ...]
    ours: tuple[str, ...]
    third_parties: tuple[str, ...]


def read_modules() -> dict[str, Module]:
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "."
        modules[name] = Module(name, path, ast.parse(path.read_bytes(), str(path)))
    return modules


def read_table() -> list[Row]:
    table = LAYERS.replace("CRAFT", " ".join(CRAFT.split()))
    lines = [line for line in table.strip().splitlines()[2:] if line]
    return [Row(*(tuple(cell.split()) for cell in line.split("|"))) for line in lines]


MODULES = read_modules()
ROWS = read_table()
OURS = [pytest.param(module, id=name) for name, module in MODULES.items()]
PRODUCT: list[Any] = [
    pytest.param(one, id=name) for name, one in MODULES.items() if not one.of_the_tests
]


def imports_of(module: Module) -> list[Import]:
    """Give all imports, also the ones inside functions, resolved to modules of ours or others."""
    found: list[Import] = []

    def visit(node: ast.AST, *, runs: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, runs) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: relative imports hide layers"
            base = node.module or ""
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                is_module = inner.removeprefix("mediapipe.") in MODULES
                found.append(Import(inner if is_module else base, node.lineno, runs))
        if isinstance(node, ast.If) and is_type_checking(node.test):
            for guarded in node.body:
                visit(guarded, runs=False)
            for other in node.orelse:
                visit(other, runs=runs)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, runs=runs)

    visit(module.tree, runs=True)
    return found


def is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Match a module name; `*` alone means every module without a package of its own."""
    return any(
        fnmatchcase(name, pattern) and ("." not in name or "." in pattern or name == ".")
        for pattern in patterns
    )


def row_of(module: Module) -> Row:
    for row in ROWS:
        if fits(module.name, row.modules):
            return row
    pytest.fail(f"{module.name} has no row in the table of layers: give it one")


@pytest.mark.parametrize("module", OURS)
def test_imports_stay_within_the_layers(module: Module) -> None:
    row = row_of(module)
    wrong = []
    for one in imports_of(module):
        if not one.runs:
            continue
        top, _, rest = one.module.partition(".")
        if top == "mediapipe":
            allowed = rest in ("facts", "gradually") or fits(rest or ".", row.ours)
        elif top in sys.stdlib_module_names:
            allowed = True
        else:
            allowed = top in row.third_parties or row.third_parties == ("*",)
        if not allowed:
            wrong.append(f"line {one.line}: {one.module}")
    assert not wrong, f"{module.name} may import {row.ours} and {row.third_parties}"


def test_every_row_fits_a_module_and_every_permission_is_of_a_module_that_exists() -> None:
    stale = []
    for row in ROWS:
        if not any(row_of(one) is row for one in MODULES.values()):
            stale.append(f"no module fits {row.modules}")
        stale += [
            f"{pattern} does not exist, in the row of {row.modules}"
            for pattern in (*row.modules, *row.ours)
            if not any(fits(name, (pattern,)) for name in MODULES)
        ]
    assert stale == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The modules of one row may import each other: never in a circle."""
    needs = {
        name: {
            one.module.removeprefix("mediapipe.")
            for one in imports_of(module)
            if one.runs and one.module.startswith("mediapipe.")
        }
        for name, module in MODULES.items()
    }
    while free := {name for name, needed in needs.items() if not needed & needs.keys() - {"."}}:
        for name in free:
            del needs[name]
    assert needs == {}


NETWORK = ("http", "urllib.request", "socket", "ssl", "ftplib", "smtplib", "asyncio", "xmlrpc")


@pytest.mark.parametrize("module", PRODUCT)
def test_what_decides_and_acts_speaks_to_no_network(module: Module) -> None:
    reached = [
        one.module
        for one in imports_of(module)
        if any(one.module == name or one.module.startswith(name + ".") for name in NETWORK)
    ]
    # these speak to systemd's sockets and to a child's on this host, and to nothing else
    local = {
        "log": ["socket"],
        "progress": ["socket"],
        "adapters.rclone_answers": ["http.client", "socket"],
    }
    assert reached == local.get(module.name, [])


@pytest.mark.parametrize(
    "module",
    [one for one in PRODUCT if not one.id.startswith(("adapters", "building", "cli"))],
)
def test_annotations_do_not_reach_into_adapters(module: Module) -> None:
    reached = [one.module for one in imports_of(module) if not one.runs]
    assert [one for one in reached if one.startswith("mediapipe.adapters")] == []


@pytest.mark.parametrize("module", PRODUCT)
def test_nothing_imports_the_stand_ins(module: Module) -> None:
    assert [one for one in imports_of(module) if one.module.startswith("mediapipe.testing")] == []


STARTS_PROCESSES = {"subprocess", "multiprocessing", "pty", "_posixsubprocess"}
STARTING_CALLS = (
    "os.fork", "os.forkpty", "os.posix_spawn", "os.posix_spawnp", "os.system", "os.popen",
    "os.exec*", "os.spawn*", "os.startfile", "asyncio.create_subprocess*",
    "concurrent.futures.ProcessPoolExecutor",
)  # fmt: skip


@pytest.mark.parametrize("module", PRODUCT)
def test_processes_start_in_one_place(module: Module) -> None:
    if module.name == "adapters.process":
        assert "subprocess" in {one.module for one in imports_of(module)}
        return
    assert [one for one in imports_of(module) if one.module in STARTS_PROCESSES] == []
    assert [(name, line) for name, line in used(module) if matches(name, STARTING_CALLS)] == []


@pytest.mark.parametrize("module", PRODUCT)
def test_files_are_opened_so_that_a_fifo_in_their_place_hangs_nobody(module: Module) -> None:
    bare = [
        ast.unparse(node.args[0])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("open", "io.open")
        and "opener" not in {keyword.arg for keyword in node.keywords}
    ]
    # the kernel's own tables, downloads that are regular files by the look before, and what is new
    sound = {
        "adapters.inotify": ["path"],
        "adapters.rclone_mount": ["_FUSE_CONF", "descriptor"],
        "archives": ["path"],
        "cli": ["os.devnull", "os.devnull"],
        "disk.folder_index": ["temporary"],
        "disk.mounts": ["_TABLE"],
        "idle": ["'/proc/self/mountinfo'"],
        "linking": ["holding.path"],
        "readback": ["file.path"],
        "resilient_arr": ["os.open(path, os.O_RDONLY | os.O_NONBLOCK)"],
        "alert_memory": ["temporary"],
    }
    assert bare == sound.get(module.name, [])


@pytest.mark.parametrize("module", PRODUCT)
def test_the_command_line_alone_exits(module: Module) -> None:
    exits = ("sys.exit", "os._exit", "os.abort", "os.kill", "SystemExit", "exit", "quit")
    found = {name for name, _line in used(module) if name in exits}
    assert found == ({"sys.exit"} if module.name == "cli" else set())


@pytest.mark.parametrize("module", PRODUCT)
def test_modules_are_loaded_by_name_where_a_command_needs_few(module: Module) -> None:
    loading = ("importlib.import_module", "__import__", "exec", "eval")
    named = {
        "dispatch": ["'mediapipe.building'"],
        "facts": ["text"],
        "inquiries": ["f'mediapipe.{_MODULES[options.verb]}'"],
    }
    found = [
        ast.unparse(node.args[0])
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in loading
    ]
    assert found == named.get(module.name, [])
    assert len(found) == len([name for name, _line in used(module) if name in loading])


@pytest.mark.parametrize("module", PRODUCT)
def test_the_runner_alone_decides_by_dry_run(module: Module) -> None:
    deciding = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If | ast.IfExp | ast.While)
        and any(
            isinstance(inner, ast.Name | ast.Attribute) and last_name(inner) == "dry_run"
            for inner in ast.walk(node.test)
        )
    ]
    if module.name == "runner":
        assert deciding
    else:
        assert deciding == [], f"{module.name} decides by dry_run in these lines"


@pytest.mark.parametrize("module", OURS)
def test_modules_fit_in_the_head(module: Module) -> None:
    assert len(module.path.read_bytes().splitlines()) <= LONGEST


def used(module: Module) -> list[tuple[str, int]]:
    """Give each dotted name that is used in a module, with its line."""
    return [
        (ast.unparse(node), node.lineno)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name)
    ]


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def last_name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr
