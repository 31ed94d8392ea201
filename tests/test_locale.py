"""The language in use, the numbers, and the catalogues beside the source they translate."""

from __future__ import annotations

import ast
import gettext
import importlib.util
import io
import string
import unicodedata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from babel import numbers

from softprompt import errors, locale
from softprompt.locale import (
    current_language,
    figure,
    mark,
    number,
    percent,
    retold,
    set_language,
)

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(locale.__file__).parent
VARIABLES = ("SOFTPROMPT_LANG", "LC_ALL", "LC_MESSAGES", "LANG")
TRANSLATIONS = sorted(PACKAGE.glob("locales/*/LC_MESSAGES/softprompt.po"))
ERRORS = {name for name in errors.__all__ if name.endswith("Error")}
# Where mistakes are told to people; what the server says is read by programs.
TOLD_TO_PEOPLE = (
    "tasks",
    "evaluation",
    "backbones",
    "prompts",
    "inference",
    "training",
    "comparison",
    "cli",
    "registry.py",
    "storage.py",
)
each_catalogue = pytest.mark.parametrize("po", TRANSLATIONS, ids=lambda po: po.parents[1].name)


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations", ROOT / "tools/translations.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


@pytest.fixture(autouse=True)
def language(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not chosen yet, in an environment that says nothing."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(locale, "_chosen", None)


@pytest.fixture
def greeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Vietnamese catalogue that knows two messages."""
    catalog = tool.Catalog(locale="vi", charset="utf-8")
    catalog.add("Hello {name}", "Xin chào {name}")
    catalog.add(("{n} row", "{n} rows"), ("{n} dòng",))
    vietnamese = gettext.GNUTranslations(io.BytesIO(tool.mo_bytes(catalog)))
    english = gettext.NullTranslations()
    monkeypatch.setattr(locale, "_catalogue", {"vi": vietnamese, "en": english}.__getitem__)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "vi_VN.UTF-8"}, "vi"),
        ({"LANG": "vi"}, "vi"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "vie_VN"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "vi_VN"}, "vi"),
        ({"LANG": "vi_VN", "LC_MESSAGES": "vi_VN", "LC_ALL": "C"}, "en"),
        ({"LANG": "vi_VN", "LC_ALL": ""}, "vi"),
        ({"LC_ALL": "en_US.UTF-8", "SOFTPROMPT_LANG": "vi"}, "vi"),
        ({"LANG": "vi_VN", "SOFTPROMPT_LANG": "en"}, "en"),
    ],
)
def test_environment_decides(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert current_language() == expected
    assert set_language() == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [("vi", "vi"), ("VI", "vi"), ("vi-VN", "vi"), (" vi ", "vi"), ("de", "en"), ("", "en")],
)
def test_a_code_wins_over_the_environment(
    code: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "vi_VN" if expected == "en" else "en_US")
    assert set_language(code) == expected
    assert current_language() == expected


@pytest.mark.usefixtures("greeting")
def test_messages_follow_a_change_of_language() -> None:
    set_language("en")
    assert locale._("Hello {name}") == "Hello {name}"
    set_language("vi")
    assert locale._("Hello {name}") == "Xin chào {name}"
    assert locale._("Unknown to the catalogue") == "Unknown to the catalogue"
    set_language("en")
    assert locale._("Hello {name}") == "Hello {name}"


@pytest.mark.usefixtures("greeting")
def test_plurals_follow_the_rule_of_the_language() -> None:
    set_language("en")
    assert [locale.ngettext("{n} row", "{n} rows", n) for n in (0, 1, 2)] == [
        "{n} rows",
        "{n} row",
        "{n} rows",
    ]
    set_language("vi")
    assert {locale.ngettext("{n} row", "{n} rows", n) for n in (0, 1, 2)} == {"{n} dòng"}


@pytest.mark.usefixtures("greeting")
def test_marked_constants_are_translated_when_shown() -> None:
    constant = mark("Hello {name}")
    set_language("vi")
    assert constant == "Hello {name}"
    assert locale._(constant) == "Xin chào {name}"


@pytest.mark.usefixtures("greeting")
def test_what_a_library_says_is_told_again() -> None:
    templates = (mark("Hello {name} and {other}"), mark("Hello {name}"))
    set_language("vi")
    assert retold("Hello (you)", templates) == "Xin chào (you)"
    assert retold("Hello you\nthere", templates) == "Xin chào you\nthere"
    assert retold("Hello you and me", templates) == "Hello you and me"
    assert retold("Oh, Hello you", templates) == "Oh, Hello you"
    set_language("en")
    assert retold("Hello {you}", templates) == "Hello {you}"


@pytest.mark.parametrize("code", locale.LANGUAGES)
def test_the_empty_message_stays_empty(code: str) -> None:
    set_language(code)
    assert locale._("") == ""


def test_numbers_suit_the_language() -> None:
    set_language("en")
    assert [number(1234567), number(12345.678, 2), number(-0.5, 1)] == [
        "1,234,567",
        "12,345.68",
        "-0.5",
    ]
    assert [percent(0.6125), percent(1, 0), percent(-0.031, 2)] == ["61.3%", "100%", "-3.10%"]
    set_language("vi")
    assert [number(1234567), number(12345.678, 2), number(-0.5, 1)] == [
        "1.234.567",
        "12.345,68",
        "-0,5",
    ]
    assert [percent(0.6125), percent(1, 0), percent(-0.031, 2)] == ["61,3%", "100%", "-3,10%"]


def test_figures_have_as_many_digits_as_they_need() -> None:
    values = [(0.003, "g"), (1e-05, "g"), (1200.0, "g"), (0.25, ""), (1234.5, ".2f"), (0.01, ".1e")]
    set_language("en")
    assert [figure(*value) for value in values] == [
        "0.003", "1e-05", "1200", "0.25", "1234.50", "1.0e-02",
    ]  # fmt: skip
    set_language("vi")
    assert [figure(*value) for value in values] == [
        "0,003", "1e-05", "1200", "0,25", "1234,50", "1,0e-02",
    ]  # fmt: skip


@pytest.mark.parametrize("code", locale.LANGUAGES)
def test_numbers_agree_with_unicode_cldr(code: str) -> None:
    set_language(code)
    for value in (0, 7.25, 1234.5, 12345678.91):
        assert number(value, 2) == numbers.format_decimal(value, "#,##0.00", locale=code)
        assert percent(value / 100, 2) == numbers.format_percent(
            value / 100, "#,##0.00%", locale=code
        )


def test_every_language_has_a_catalogue() -> None:
    assert [po.parents[1].name for po in TRANSLATIONS] == sorted(set(locale.LANGUAGES) - {"en"})
    for language in locale.LANGUAGES:
        locale._catalogue(language)


@each_catalogue
def test_the_compiled_catalogue_is_current(po: Path) -> None:
    with po.with_suffix(".mo").open("rb") as file:
        shipped = gettext.GNUTranslations(file)
    compiled = gettext.GNUTranslations(io.BytesIO(tool.mo_bytes(tool.read(po))))
    # The header tells which Babel wrote it.
    assert messages(shipped) == messages(compiled), "run tools/translations.py"


@each_catalogue
def test_every_message_is_translated(po: Path) -> None:
    catalog = tool.read(po)
    tool.update(catalog, tool.extract())
    gaps = tool.missing(catalog)
    assert not gaps, f"{len(gaps)} without translation in {po.relative_to(ROOT)}: {gaps}"


@each_catalogue
def test_no_message_outlives_its_source(po: Path) -> None:
    catalog = tool.read(po)
    tool.update(catalog, tool.extract())
    assert po.read_bytes().count(b"\n#~ msgid ") == len(catalog.obsolete), "run the tool"


@each_catalogue
def test_translations_are_nfc(po: Path) -> None:
    text = po.read_text(encoding="utf-8")
    bad = [line for line in text.splitlines() if not unicodedata.is_normalized("NFC", line)]
    assert not bad


@each_catalogue
def test_translations_keep_the_placeholders(po: Path) -> None:
    bad = [entry.id for entry in tool.read(po) if entry.id and not keeps_placeholders(entry)]
    assert not bad, f"placeholders differ: {bad}"


def test_messages_are_literals() -> None:
    bad = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if formats_before_lookup(node)
    ]
    assert not bad, f"filled in before the look-up, so in no catalogue: {bad}"


@pytest.mark.parametrize(
    ("source", "offends"),
    [
        ('_("{n} rows").format(n=3)', False),
        ("_(CONSTANT)", False),
        ('_(f"{n} rows")', True),
        ('_("{n} rows".format(n=3))', True),
        ('_("%d rows" % n)', True),
        ('ngettext(f"{n} row", f"{n} rows", n)', True),
    ],
)
def test_the_rule_on_literals_can_fail(source: str, offends: bool) -> None:
    assert any(formats_before_lookup(node) for node in ast.walk(ast.parse(source))) is offends


@pytest.mark.parametrize("room", TOLD_TO_PEOPLE)
def test_mistakes_can_be_told_in_any_language(room: str) -> None:
    path = PACKAGE / room
    bad = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and tells_in_english(node)
    ]
    assert not bad, "message or hint in no catalogue:\n" + "\n".join(bad)


@pytest.mark.parametrize(
    ("source", "offends"),
    [
        ('raise DataError(_("{file} is empty.").format(file=f"{name}.csv"), nearest(a, b))', False),
        ('raise DataError(ngettext("{n} row", "{n} rows", n).format(n=n), hint)', False),
        ('raise DataError(f"{place}: {message}", "")', False),
        ('raise DataError(_("A") if a else _("B"), hint=_("C"))', False),
        ('raise ValueError("A defect.")', False),
        ('raise DataError("It is empty.")', True),
        ('raise DataError(_("It is empty."), "Fill it.")', True),
        ('raise DataError(_("It is empty."), hint="Fill it.")', True),
        ('raise DataError(f"{name} is empty.")', True),
        ('raise DataError("{name} is empty.".format(name=name))', True),
        ('raise DataError(_("A") + " and more.")', True),
        ('raise DataError(_("A") if a else "B")', True),
        ('return UsageError("It cannot be.")', True),
    ],
)
def test_the_rule_on_mistakes_can_fail(source: str, offends: bool) -> None:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    assert any(tells_in_english(node) for node in calls) is offends


@pytest.mark.parametrize(
    ("message", "translation", "kept"),
    [
        ("{n} of {total}", "{n} trên {total}", True),
        ("{n} of {total}", "{total} có {n}", True),
        ("{n} of {total}", "{n} trên {tổng}", False),
        ("{n:,} rows", "{n} dòng", True),
        ("{n} rows", "dòng", False),
        ("{n} rows", "{n dòng", False),
        (("a row", "{n} rows"), ("{n} dòng",), True),
        (("a row", "{n} rows"), ("dòng",), False),
    ],
)
def test_the_rule_on_placeholders_can_fail(message: Any, translation: Any, kept: bool) -> None:
    assert keeps_placeholders(tool.Message(message, translation)) is kept


def test_the_tool_keeps_translations_and_reports_gaps(tmp_path: Path) -> None:
    package, po = tmp_path / "package", tmp_path / "vi" / "LC_MESSAGES" / "softprompt.po"
    package.mkdir()
    po.parent.mkdir(parents=True)
    source = package / "command.py"
    source.write_text('_("One")\nngettext("{n} row", "{n} rows", 2)\nmark("Three")\nother("No")\n')
    catalog = tool.Catalog(locale="vi", charset="utf-8", fuzzy=False)
    tool.update(catalog, tool.extract(package))
    assert sorted(tool.missing(catalog)) == ["One", "Three", "{n} row"]

    catalog["One"].string, catalog["Three"].string = "Một", "Ba"
    catalog["{n} row"].string = ("{n} dòng",)
    po.write_bytes(tool.po_bytes(catalog))
    source.write_text('_("Three")\n_("Four")\n')
    catalog = tool.read(po)
    tool.update(catalog, tool.extract(package))
    assert tool.missing(catalog) == ["Four"]
    assert catalog["Three"].string == "Ba"
    assert len(catalog.obsolete) == 2
    po.write_bytes(tool.po_bytes(catalog))

    source.write_text('_("One")\n_("Three")\n')
    catalog = tool.read(po)
    tool.update(catalog, tool.extract(package))
    assert tool.missing(catalog) == []
    assert catalog["One"].string == "Một"
    assert "Four" not in {message.id for message in catalog.obsolete.values()}


def messages(catalogue: gettext.GNUTranslations) -> dict[Any, str]:
    known: dict[Any, str] = dict(catalogue._catalog)  # type: ignore[attr-defined]
    known.pop("")
    return known


def formats_before_lookup(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in tool.KEYWORDS
        and any(
            isinstance(argument, ast.JoinedStr | ast.Call | ast.BinOp)
            for argument in node.args[: 2 if node.func.id == "ngettext" else 1]
        )
    )


def tells_in_english(call: ast.Call) -> bool:
    """Whether an error is made with a message or a hint that is never looked up."""
    if not isinstance(call.func, ast.Name) or call.func.id not in ERRORS:
        return False
    named = [word.value for word in call.keywords if word.arg in ("message", "hint")]
    return any(has_own_words(node) for node in (*call.args[:2], *named))


def has_own_words(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return any(map(str.isalpha, text))
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts):
            return any(map(has_own_words, parts))
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            return has_own_words(one) or has_own_words(other)
        case ast.Call(func=ast.Attribute(value=text)):
            return has_own_words(text)
    return False


def keeps_placeholders(entry: Any) -> bool:
    """Each form has the names of the message; a plural's, those of the plural."""
    sources = (entry.id,) if isinstance(entry.id, str) else tuple(entry.id)
    forms = (entry.string,) if isinstance(entry.string, str) else tuple(entry.string)
    return all(not form or placeholders(form) == placeholders(sources[-1]) for form in forms)


def placeholders(text: str) -> set[str] | None:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return None
