"""From bytes to text: byte order marks, UTF-8, a named encoding, and what is wrong with the rest.

Knows nothing of what the text holds.
"""

from __future__ import annotations

import codecs

from softprompt.errors import DataError
from softprompt.locale import _, mark

__all__ = ["decode"]

_MARKS = (  # UTF-32 stands first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAME_IT = mark(
    "Save the file as UTF-8, or name its encoding, for example --encoding cp1252 (Western"
    " European) or cp1258 (Vietnamese)."
)


def decode(content: bytes, *, source: str, encoding: str | None = None) -> str:
    """The text of a file, without a byte order mark.

    Args:
        content: the file's bytes.
        source: the file's name, for messages.
        encoding: the encoding; without one, what the byte order mark says, else UTF-8.

    Raises:
        DataError: a line is not in that encoding (its number is named), or the text holds null
            characters, as binary files and unmarked UTF-16 do.
    """
    marked = (name for sign, name in _MARKS if content.startswith(sign))
    chosen = encoding or next(marked, "utf-8")
    try:
        text = content.decode(chosen)
    except UnicodeDecodeError as error:
        raise _undecodable(content, error, source, chosen) from error
    except UnicodeError as error:
        raise DataError(
            _("{source} is not {encoding} text.").format(source=source, encoding=chosen),
            _(_NAME_IT),
        ) from error
    text = text.removeprefix("\ufeff")
    null = text.find("\0")
    if null >= 0:
        line = text.count("\n", 0, null) + 1
        raise DataError(
            _(
                "{source}: line {line} holds a null character, so the file is not {encoding} text."
            ).format(source=source, line=line, encoding=chosen),
            _("If it is text, name its encoding, for example --encoding utf-16."),
        )
    return text


def _undecodable(content: bytes, error: UnicodeDecodeError, source: str, chosen: str) -> DataError:
    before = content[: error.start]
    wide = chosen.lower().replace("_", "-").startswith(("utf-16", "utf-32"))
    ends = before.decode(chosen, "ignore").count("\n") if wide else before.count(b"\n")
    line = ends + 1
    byte = _("cut off")
    if error.start < len(content):
        byte = _("byte {code}").format(code=f"0x{content[error.start]:02X}")
    utf8 = chosen in {"utf-8", "utf-8-sig"}
    plain = DataError(
        _("{source}: line {line} is not {encoding} text ({byte}).").format(
            source=source, line=line, encoding="UTF-8" if utf8 else chosen, byte=byte
        ),
        _(_NAME_IT),
    )
    if not utf8:
        return plain
    wrong, right = [], 0
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            right += not raw.decode("utf-8").isascii()
        except UnicodeDecodeError:
            wrong.append(number)
    if not right:
        return plain
    listed = ", ".join(map(str, wrong[:5])) + (", ..." if len(wrong) > 5 else "")
    return DataError(
        _(
            "{source} mixes encodings: line {line} is not UTF-8 text ({byte}), while {n} other"
            " lines are."
        ).format(source=source, line=line, byte=byte, n=right),
        _("Repair the lines that are not ({lines}) and save the file as UTF-8.").format(
            lines=listed
        ),
    )
