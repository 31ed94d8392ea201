"""Command line of the recipe: `python -m recipes.nano --text en=FILE --output DIR`.

Puts the parts in order: tokenizer, shards, training, export. Knows no details of any of them.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from recipes.nano import settings as settings_module
from recipes.nano.prepare import prepare, read_texts
from recipes.nano.settings import RecipeError, Settings

INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.nano",
        description="Train a small language model from text files and export it.",
    )
    add = parser.add_argument
    add("--text", action="append", default=[], metavar="LABEL=FILE[,FILE]", help="text of a label")
    add("--output", type=Path, required=True, help="folder of tokenizer, shards, checkpoints, log")
    add("--model", type=Path, help="folder of the exported model (default: OUTPUT/model)")
    add("--start-from", type=Path, help="folder of an exported model whose weights to begin with")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting")
    add("--data-card", type=Path, help="Markdown that describes the text, for the model card")
    add("--cooldown-now", action="store_true", help="finish from the latest checkpoint")
    add("--extend", action="store_true", help="go on from the last checkpoint before the cool-down")
    add("--export-only", action="store_true", help="export the latest checkpoint, train nothing")
    return parser


def _settings(words: list[str], output: Path) -> Settings:
    path = output / "settings.json"
    base = settings_module.load(path) if path.is_file() else None
    settings = settings_module.parse(words, base)
    output.mkdir(parents=True, exist_ok=True)
    settings_module.save(settings, path)
    return settings


def main(arguments: list[str] | None = None) -> int:
    """Run the recipe; return 0 when the model is exported, 130 when stopped, 2 on a mistake."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
        return INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    texts = read_texts(options.text)
    settings = _settings(options.set, options.output)
    codes, shards = prepare(texts, settings, options.output, options.start_from)
    # Imported late: a mistake in the arguments is reported before PyTorch loads.
    from recipes.nano import ancestor, checkpoint
    from recipes.nano.export import export
    from recipes.nano.train import Trainer

    if options.start_from:
        ancestor.record(options.start_from, options.output)
    if options.extend:
        (options.output / "checkpoints" / checkpoint.COOLDOWN).unlink(missing_ok=True)
    trainer = Trainer(settings, codes, shards, options.output, options.start_from)
    if not options.export_only:
        with _signals() as received:
            finished = trainer.run(lambda: bool(received), options.cooldown_now)
        if not finished:
            print(f"stopped at step {trainer.progress.step}; the same command goes on")
            return INTERRUPTED
    folder = options.model or options.output / "model"
    held_out = export(trainer, shards, folder, options.data_card)
    measured = ", ".join(f"{label} {value:.3f}" for label, value in held_out.items())
    print(f"exported {folder} after {trainer.progress.tokens:,} tokens; bits per byte: {measured}")
    return 0


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM, so that a step ends before the run does."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda got, _: received.append(got)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
