"""Small models of several sizes by the recipe of `nano`, for the study of scale.

Same text, tokenizer, number of tokens and order of text for all; only the shape differs. A model
that is there is not trained again, and training that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from recipes.nano.__main__ import main as recipe
from recipes.nano.prepare import prepare, read_texts
from recipes.nano.settings import parse

__all__ = ["SIZES", "pretrained"]

SIZES = {
    "1M": "hidden=96 layers=3 heads=4 intermediate=256",
    "4M": "hidden=192 layers=5 heads=4 intermediate=512",
    "12M": "hidden=384 layers=5 heads=6 intermediate=1024",
}
"""Settings of the recipe by size; with 8,192 entries 1.1, 3.8 and 12.0 million parameters."""
_BATCH_TOKENS = 8192


def pretrained(
    size: str, texts: Sequence[str], folder: Path, tokens: int, settings: Sequence[str] = ()
) -> Path:
    """The folder of a model, trained where it is not there yet.

    Args:
        size: name in `SIZES`.
        texts: `LABEL=FILE` each.
        folder: of all sizes; tokenizer and shards are made there once.
        tokens: to train on.
        settings: `key=value` of the recipe that go before those of the size.

    Raises:
        SystemExit: training was stopped; the same call goes on.
        RecipeError: a text or a setting cannot be.
    """
    output = folder / f"{tokens}-tokens" / size
    model = output / f"nano-{size}"
    if (model / "config.json").is_file() and (model / "model.safetensors").is_file():
        return model
    steps = max(2, -(-tokens // _BATCH_TOKENS))
    words = [f"steps={steps}", f"warmup_steps={min(100, max(1, steps // 10))}"]
    words += [f"batch_tokens={_BATCH_TOKENS}", *SIZES[size].split(), *settings]
    prepare(read_texts(list(texts)), parse(words), folder)
    output.mkdir(parents=True, exist_ok=True)
    for part in ("tokenizer", "shards"):
        if not (output / part).exists():
            (output / part).symlink_to((folder / part).resolve(), target_is_directory=True)
    given = [word for text in texts for word in ("--text", text)]
    given += ["--output", str(output), "--model", str(model)]
    given += [word for setting in words for word in ("--set", setting)]
    # What the recipe tells of its progress is no part of a report.
    with redirect_stdout(sys.stderr):
        code = recipe(given)
    if code:
        raise SystemExit(code)
    return model
