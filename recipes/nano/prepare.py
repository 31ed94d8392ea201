"""From text files to a tokenizer and token shards, each made once per output folder.

Does not know the model; a folder that already has a tokenizer keeps it when labels are added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from recipes.nano import corpus, shards, tokenizer
from recipes.nano.settings import RecipeError, Settings


def read_texts(words: list[str]) -> dict[str, list[Path]]:
    """Read `--text` words of the form LABEL=FILE[,FILE]."""
    texts: dict[str, list[Path]] = {}
    for word in words:
        label, equals, names = word.partition("=")
        if not equals or not names or not re.fullmatch(r"[A-Za-z0-9_-]+", label):
            raise RecipeError(
                f"--text received {word!r}; write LABEL=FILE[,FILE], the label in letters, digits, "
                "'-' and '_'"
            )
        texts.setdefault(label, []).extend(Path(name) for name in names.split(","))
    if not texts:
        raise RecipeError("no --text given; write --text LABEL=FILE")
    return texts


def prepare(
    texts: dict[str, list[Path]],
    settings: Settings,
    output: Path,
    start_from: Path | None = None,
) -> tuple[Tokenizer, dict[str, shards.Shard]]:
    """Return the tokenizer and the shard of every label, making what is not there yet.

    The tokenizer is that of the model in `start_from` where one is given.
    """
    folder = output / "tokenizer"
    if start_from and not (folder / "tokenizer.json").is_file():
        tokenizer.save(tokenizer.load(start_from), folder, settings.context)
    if not (folder / "tokenizer.json").is_file():
        codes = tokenizer.train(_sample(texts, settings.tokenizer_megabytes), settings.vocabulary)
        tokenizer.save(codes, folder, settings.context)
    codes = tokenizer.load(folder)
    made = {
        label: shards.prepare(label, paths, codes, output / "shards")
        for label, paths in texts.items()
    }
    return codes, made


def _sample(texts: dict[str, list[Path]], megabytes: float) -> Iterator[str]:
    for paths in texts.values():
        size = 0
        # The order is set by hashes, so the first megabytes are a fair sample of the label.
        for document in corpus.split(paths)[0]:
            yield document
            size += len(document.encode())
            if size > megabytes * 1e6:
                break
