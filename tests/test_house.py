"""The rules of the source tree, each as one test, each shown to fail on a tree that breaks it.

The rooms and their ranks are those of the architecture: imports only go down the ranks.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import softprompt

PACKAGE = Path(softprompt.__file__).parent

RANKS = {
    "errors": 0,
    "registry": 0,
    "storage": 0,
    "locale": 0,
    "tasks": 1,
    "backbones": 1,
    "evaluation": 1,
    "prompts": 2,
    "inference": 3,
    "training": 4,
    "inspection": 4,
    "serving": 4,
    "comparison": 5,
    "transfer": 5,
    "cluster": 6,
    "studio": 7,
    "cli": 8,
    "__main__": 9,
}
# The only modules that others of their own rank may import; the language imports none of them.
FOUNDATIONS = {"errors", "locale", "registry", "storage"}
LOWEST = "locale"
TOP = "softprompt"
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
EMPTY_NAMES = {"common", "helper", "helpers", "misc", "miscellaneous", "util", "utils"}
PICKLES = {"cPickle", "cloudpickle", "dill", "joblib", "pickle", "shelve"}

Import = tuple[str, int, str, str]  # file, line, importing room, imported room


def sources(package: Path) -> Iterator[tuple[Path, str, ast.Module]]:
    """Every source file with its path from the package and its tree."""
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        yield name, path.read_text("utf-8"), ast.parse(path.read_text("utf-8"), str(name))


def room_imports(package: Path) -> list[Import]:
    """What rooms import of other rooms; `TOP` stands for the package itself."""
    homes = public_homes(package)
    found = []
    for name, _, tree in sources(package):
        room = name.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for node in ast.walk(tree):
            for target in import_targets(node, list(name.parts[:-1])):
                imported = room_of(target, homes)
                if imported not in (None, room):
                    found.append((str(name), node.lineno, room, str(imported)))  # type: ignore[attr-defined]
    return found


def import_targets(node: ast.AST, folder: list[str]) -> Iterator[str]:
    """The dotted names that a node imports, relative ones resolved."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            above = [TOP, *folder][: len(folder) + 2 - level] if level else []
            base = ".".join([*above, *([module] if module else [])])
            # Only below the package itself does a name decide which room is meant.
            yield from (f"{base}.{alias.name}" if base == TOP else base for alias in names)
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(target)), *_],
        ):
            yield target


def public_homes(package: Path) -> dict[str, str]:
    """The room behind each name that the package itself offers."""
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    return {
        alias.asname or alias.name: target.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        for target in import_targets(node, [])
        if target.startswith(f"{TOP}.")
    }


def room_of(target: str, homes: Mapping[str, str]) -> str | None:
    """The room that a dotted name lies in; None when it is not of this project."""
    top, _, rest = target.partition(".")
    if top != TOP or rest == "__version__":
        return None
    first = rest.partition(".")[0]
    return first if first in RANKS else homes.get(first, first.strip("*") or TOP)


def upward_imports(package: Path) -> list[str]:
    return [
        f"{file}:{line}: {room} imports {imported}"
        for file, line, room, imported in room_imports(package)
        if RANKS.get(imported, 99) > RANKS.get(room, -1)
    ]


def sideways_imports(package: Path) -> list[str]:
    return [
        f"{file}:{line}: {room} imports {imported}"
        for file, line, room, imported in room_imports(package)
        if RANKS.get(imported) == RANKS.get(room)
        and (imported not in FOUNDATIONS or room == LOWEST)
    ]


def circular_imports(package: Path) -> list[str]:
    edges: dict[str, set[str]] = {}
    for _, _, room, imported in room_imports(package):
        edges.setdefault(room, set()).add(imported)

    def reaches(start: str, goal: str) -> bool:
        seen, front = {start}, [start]
        while front:
            for room in edges.get(front.pop(), set()) - seen:
                seen.add(room)
                front.append(room)
                if room == goal:
                    return True
        return False

    return sorted(
        f"{a} and {b}" for a in edges for b in edges if a < b and reaches(a, b) and reaches(b, a)
    )


def rooms_without_rank(package: Path) -> list[str]:
    rooms = {name.parts[0].removesuffix(".py") for name, _, _ in sources(package)}
    return sorted(rooms - set(RANKS) - {"__init__"})


def long_files(package: Path) -> list[str]:
    return [
        f"{name}: {lines} lines"
        for name, text, _ in sources(package)
        if (lines := len(text.splitlines())) > MOST_FILE_LINES
    ]


def long_functions(package: Path) -> list[str]:
    return [
        f"{name}:{node.lineno}: {node.name} has {lines} lines"
        for name, _, tree in sources(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_FUNCTION_LINES
    ]


def missing_docstrings(package: Path) -> list[str]:
    return [str(name) for name, _, tree in sources(package) if not ast.get_docstring(tree)]


def empty_names(package: Path) -> list[str]:
    return [
        str(name)
        for name, _, _ in sources(package)
        if any(EMPTY_NAMES & set(part.removesuffix(".py").split("_")) for part in name.parts)
    ]


def pickles(package: Path) -> list[str]:
    def offends(node: ast.AST) -> bool:
        match node:
            case ast.Import(names=names):
                return any(alias.name.partition(".")[0] in PICKLES for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                return module.partition(".")[0] in PICKLES
            case ast.keyword(arg="allow_pickle", value=value):
                return not is_false(value)
        return False

    return places(package, offends)


def torch_loads(package: Path) -> list[str]:
    def offends(node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="torch"), attr="load"):
                return True
            case ast.Import(names=names):
                # Under another name `torch.load` could not be seen.
                return any(alias.name == "torch" and alias.asname for alias in names)
            case ast.ImportFrom(module="torch" | "torch.serialization", names=names, level=0):
                return any(alias.name in ("load", "*") for alias in names)
        return False

    return places(package, offends)


def remote_code(package: Path) -> list[str]:
    """Every `trust_remote_code` that is anything but a literal False."""

    def offends(node: ast.AST) -> bool:
        match node:
            case ast.keyword(arg="trust_remote_code", value=value):
                return not is_false(value)
            case ast.Dict(keys=keys, values=values):
                return any(
                    isinstance(key, ast.Constant)
                    and key.value == "trust_remote_code"
                    and not is_false(value)
                    for key, value in zip(keys, values, strict=True)
                )
            case ast.Assign(targets=[target], value=value):
                return names_remote_code(target) and not is_false(value)
        return False

    return places(package, offends)


def names_remote_code(target: ast.AST) -> bool:
    match target:
        case ast.Subscript(slice=ast.Constant(value="trust_remote_code")):
            return True
        case ast.Attribute(attr="trust_remote_code"):
            return True
    return False


def is_false(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def places(package: Path, offends: Callable[[ast.AST], bool]) -> list[str]:
    return [
        f"{name}:{getattr(node, 'lineno', 0)}"
        for name, _, tree in sources(package)
        for node in ast.walk(tree)
        if offends(node)
    ]


RULES = [
    upward_imports,
    sideways_imports,
    circular_imports,
    rooms_without_rank,
    long_files,
    long_functions,
    missing_docstrings,
    empty_names,
    pickles,
    torch_loads,
    remote_code,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Callable[[Path], list[str]]) -> None:
    offenders = rule(PACKAGE)
    assert not offenders, f"{rule.__name__}:\n" + "\n".join(offenders)


def test_the_source_is_found() -> None:
    assert len(list(sources(PACKAGE))) > 20
    assert ("prompts", "errors") in {(a, b) for _, _, a, b in room_imports(PACKAGE)}


BASE = {
    "__init__.py": """
        from softprompt.training import tune
        from softprompt.errors import SoftPromptError
    """,
    "errors.py": "from softprompt.locale import _",
    "registry.py": "from softprompt.errors import UsageError\nfrom .locale import _",
    "storage.py": "from .errors import UsageError",
    "locale.py": "import os\nfrom softprompt import __version__",
    "tasks/__init__.py": "from softprompt.tasks.task import Task",
    "tasks/task.py": "from ..errors import DataError\nimport softprompt.registry",
    "tasks/formats/csv.py": "from ..task import Task\nfrom . import csv\nfrom ... import errors",
    "prompts/prompt.py": "from softprompt import SoftPromptError\nfrom ..tasks import Task",
    "training/loop.py": "import torch\nmodel.load(torch.float32, trust_remote_code=False)",
    "cli/tune.py": "from softprompt import tune",
    "__main__.py": "from softprompt.cli import main",
}


def build(folder: Path, files: Mapping[str, str]) -> Path:
    """A source tree; a docstring stands first in every file that does not decline it."""
    package = folder / TOP
    for name, body in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        docstring = "" if body.startswith("NO DOCSTRING") else '"""A file."""\n'
        text = textwrap.dedent(body.removeprefix("NO DOCSTRING")).strip()
        path.write_text(f"{docstring}{text}\n", "utf-8")
    return package


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_lets_a_good_tree_pass(rule: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert rule(build(tmp_path, BASE)) == []


@pytest.mark.parametrize(
    ("rule", "file", "body", "offender"),
    [
        (upward_imports, "tasks/a.py", "from softprompt.cli import main", "tasks imports cli"),
        (upward_imports, "tasks/a.py", "from ..cli import main", "tasks imports cli"),
        (upward_imports, "tasks/a/b.py", "from ...prompts import x", "tasks imports prompts"),
        (upward_imports, "tasks/__init__.py", "from .. import cli", "tasks imports cli"),
        (upward_imports, "errors.py", "from . import cli", "errors imports cli"),
        (upward_imports, "tasks/a.py", "from softprompt import tune", "tasks imports training"),
        (upward_imports, "tasks/a.py", "import softprompt.cli.tune as x", "tasks imports cli"),
        (upward_imports, "tasks/a.py", "import softprompt", "tasks imports softprompt"),
        (upward_imports, "tasks/a.py", "from softprompt import *", "tasks imports softprompt"),
        (upward_imports, "tasks/a.py", "def f():\n    import softprompt.cli", "tasks imports cli"),
        (upward_imports, "tasks/a.py", "import_module('softprompt.cli')", "tasks imports cli"),
        (upward_imports, "cli/a.py", "import softprompt.__main__", "cli imports __main__"),
        (sideways_imports, "tasks/a.py", "import softprompt.backbones.load", "imports backbones"),
        (sideways_imports, "training/a.py", "from ..serving import engine", "imports serving"),
        (sideways_imports, "locale.py", "from softprompt import storage", "imports storage"),
        (circular_imports, "errors.py", "from softprompt.registry import x", "errors and registry"),
        (circular_imports, "tasks/a.py", "import softprompt.prompts", "prompts and tasks"),
        (rooms_without_rank, "extras/a.py", "", "extras"),
        (rooms_without_rank, "extra.py", "", "extra"),
        (long_files, "tasks/a.py", "x = 1\n" * 400, "a.py: 401 lines"),
        (long_functions, "tasks/a.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
        (long_functions, "tasks/a.py", "async def g():\n" + "    x = 1\n" * 60, "g has 61"),
        (
            long_functions,
            "tasks/a.py",
            "class C:\n    def m(self):\n" + "        x = 1\n" * 60,
            "m has 61 lines",
        ),
        (missing_docstrings, "tasks/a.py", "NO DOCSTRING x = 1", "a.py"),
        (missing_docstrings, "tasks/a.py", "NO DOCSTRING", "a.py"),
        (empty_names, "tasks/utils.py", "", "utils.py"),
        (empty_names, "tasks/text_helpers.py", "", "text_helpers.py"),
        (empty_names, "tasks/common/a.py", "", "common"),
        (pickles, "tasks/a.py", "import pickle", "a.py:2"),
        (pickles, "tasks/a.py", "from cloudpickle import dumps", "a.py:2"),
        (pickles, "tasks/a.py", "numpy.load(x, allow_pickle=True)", "a.py:2"),
        (torch_loads, "tasks/a.py", "torch.load(path, weights_only=True)", "a.py:2"),
        (torch_loads, "tasks/a.py", "from torch import load", "a.py:2"),
        (torch_loads, "tasks/a.py", "import torch as t", "a.py:2"),
        (remote_code, "tasks/a.py", "f(trust_remote_code=True)", "a.py:2"),
        (remote_code, "tasks/a.py", "f(trust_remote_code=flag)", "a.py:2"),
        (remote_code, "tasks/a.py", "f(**{'trust_remote_code': True})", "a.py:2"),
        (remote_code, "tasks/a.py", "options['trust_remote_code'] = True", "a.py:2"),
        (remote_code, "tasks/a.py", "options.trust_remote_code = True", "a.py:2"),
    ],
)
def test_the_rule_can_fail(
    rule: Callable[[Path], list[str]], file: str, body: str, offender: str, tmp_path: Path
) -> None:
    offenders = rule(build(tmp_path, {**BASE, file: body}))
    assert len(offenders) == 1, offenders
    assert offender in offenders[0]


def test_a_long_circle_is_found(tmp_path: Path) -> None:
    circle = {
        "errors.py": "import softprompt.registry",
        "registry.py": "import softprompt.storage",
        "storage.py": "import softprompt.errors",
    }
    assert circular_imports(build(tmp_path, {**BASE, **circle}))


def test_files_and_functions_at_the_limit_pass(tmp_path: Path) -> None:
    body = "def f():\n" + "    x = 1\n" * (MOST_FUNCTION_LINES - 1)
    package = build(tmp_path, {**BASE, "tasks/a.py": body, "tasks/b.py": "x = 1\n" * 398})
    assert long_functions(package) == []
    assert long_files(package) == []
