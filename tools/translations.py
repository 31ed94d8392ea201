"""Brings the catalogues of translations up to date with the source.

    python tools/translations.py     extract, update each .po, list what lacks, compile each .mo

Reads `_("...")`, `ngettext("...", "...", n)` and `mark("...")` from `src/softprompt`. Translations
are kept, also of messages that left the source: those become obsolete entries (`#~`) and come back
to life with their message. Knows no language: it lists what is missing, a person translates it.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "softprompt"
KEYWORDS = {"_": None, "ngettext": (1, 2), "mark": None}


def extract(package: Path = PACKAGE) -> Catalog:
    """The messages of the source: a template without translations."""
    template = Catalog(project="softprompt", charset="utf-8")
    found = extract_from_dir(
        package, method_map=[("**.py", "python")], keywords=KEYWORDS, comment_tags=("Translators:",)
    )
    # Line numbers would change the catalogue with every edit of the source.
    for file, _line, message, comments, _context in sorted(found, key=lambda entry: entry[:2]):
        template.add(message, locations=[(file, 0)], auto_comments=comments)
    return template


def read(po: Path) -> Catalog:
    """The catalogue in a .po file, whose language is the name of its folder."""
    with po.open("rb") as file:
        return read_po(file, locale=po.parents[1].name)


def update(catalog: Catalog, template: Catalog) -> None:
    """Takes in the messages of the template; no translation is lost and none is guessed."""
    # Babel leaves a message that comes back among the obsolete ones.
    for key, message in list(catalog.obsolete.items()):
        if message.id in template:
            catalog[message.id] = message
            del catalog.obsolete[key]
    catalog.update(template, no_fuzzy_matching=True, update_creation_date=False)
    for key, message in list(catalog.obsolete.items()):
        if not any(_forms(message)):
            del catalog.obsolete[key]


def missing(catalog: Catalog) -> list[str]:
    """The messages that lack a translation or a plural form of it, or are marked as doubtful."""
    return [
        _key(message)
        for message in catalog
        if message.id and (message.fuzzy or not all(_forms(message)))
    ]


def po_bytes(catalog: Catalog) -> bytes:
    """The text of the .po file, sorted by message, so that changes are easy to read."""
    buffer = io.BytesIO()
    write_po(
        buffer, catalog, width=96, sort_output=True, include_lineno=False, include_previous=False
    )
    return buffer.getvalue()


def mo_bytes(catalog: Catalog) -> bytes:
    """The compiled catalogue; doubtful translations stay out."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def catalogue_files(package: Path = PACKAGE) -> list[Path]:
    """The .po files of all languages."""
    return sorted(package.glob("locales/*/LC_MESSAGES/softprompt.po"))


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _forms(message: Message) -> tuple[str, ...]:
    strings = message.string or ""
    return (strings,) if isinstance(strings, str) else tuple(strings)


def main() -> int:
    """Updates all catalogues; the exit code is 1 while something remains to translate."""
    template = extract()
    complete = True
    for po in catalogue_files():
        catalog = read(po)
        update(catalog, template)
        po.write_bytes(po_bytes(catalog))
        po.with_suffix(".mo").write_bytes(mo_bytes(catalog))
        gaps = missing(catalog)
        print(f"{po.relative_to(ROOT)}: {len(catalog)} messages, {len(gaps)} to translate")
        for gap in gaps:
            print(f"  {gap!r}")
        complete &= not gaps
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
