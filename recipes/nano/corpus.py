"""Documents from text files: plain or .xz, separated by two blank lines.

A long document is cut at blank lines, so a file without separators is read as pieces. Which
documents are held out follows from a hash of their content, so it stays the same when files are
added or reordered. Does not know languages or topics; pieces cut from one document can fall on
both sides of the held-out border.
"""

from __future__ import annotations

import hashlib
import lzma
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from recipes.nano.settings import RecipeError

PIECE_CHARACTERS = 6000
"""Length from which a document is cut at its next blank line."""

HELD_OUT_PER_THOUSAND = 5
"""Documents per thousand that training never sees."""

_INVISIBLE = dict.fromkeys(map(ord, "\ufeff\u200b\u2060\u00ad\u200a"), None)


def documents(paths: list[Path]) -> Iterator[str]:
    """Yield the documents of the files in order, in NFC and without invisible characters."""
    for path in paths:
        for raw in _raw_documents(path):
            text = unicodedata.normalize("NFC", raw.translate(_INVISIBLE)).strip()
            if text:
                yield text


def _raw_documents(path: Path) -> Iterator[str]:
    lines: list[str] = []
    size = blank = 0
    with _open(path) as file:
        for line in file:
            bare = line.rstrip()
            blank = 0 if bare else blank + 1
            # One blank line ends an overlong piece, two end the document; a paragraph without
            # any blank line after twice the length is cut at its next line.
            if blank >= 2 or (size > PIECE_CHARACTERS and (blank or size > 2 * PIECE_CHARACTERS)):
                yield "\n".join(lines)
                lines, size = [], 0
            lines.append(bare)
            size += len(bare) + 1
    yield "\n".join(lines)


def _open(path: Path) -> IO[str]:
    if not path.is_file():
        raise RecipeError(f"no text file at {path}; check --text")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def digest(document: str) -> int:
    """Return a 64-bit number that depends on the content alone."""
    return int.from_bytes(hashlib.blake2b(document.encode(), digest_size=8).digest(), "big")


def split(paths: list[Path]) -> tuple[list[str], list[str]]:
    """Return (training, held-out) documents, duplicates dropped, in an order set by their hash."""
    by_digest = {digest(document): document for document in documents(paths)}
    train: list[str] = []
    held_out: list[str] = []
    for key in sorted(by_digest):
        # The low digits decide, so the order by the whole number stays unrelated to the split.
        target = held_out if key % 1000 < HELD_OUT_PER_THOUSAND else train
        target.append(by_digest[key])
    if not train:
        raise RecipeError(f"no documents in {', '.join(map(str, paths))}; give files with text")
    return train, held_out
