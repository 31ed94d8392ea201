"""`softprompt demo`: the main job on data that ships in the package, offline, within a minute."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softprompt.cli import flags
from softprompt.cli.commands import Outcome, command
from softprompt.cli.streams import error_console, waiting
from softprompt.errors import UsageError, nearest
from softprompt.locale import LANGUAGES, _, current_language, mark, set_language

if TYPE_CHECKING:
    from softprompt.inference import Predictor
    from softprompt.tasks import Task

__all__ = ["demo"]

TRAINING_SECONDS = 32.0
"""Of the minute that the demo may take; reading, measuring and loading need the rest."""

POPULATION = 3
"""Prompts that train together; more of them get too few steps in so short a time."""

_RUN = "softprompt-demo"
_SHOWN = {"right": 3, "wrong": 2}


@command(
    "demo",
    summary=mark("Train and measure a prompt on sample data: offline, within a minute."),
    examples=("softprompt demo", "softprompt demo --lang vi"),
)
def demo(
    lang: Annotated[
        str | None,
        typer.Option("--lang", metavar="en|vi", help=mark("Language of the demo and its data.")),
    ] = None,
    seed: flags.Seed = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="DIR", help=mark("Folder of the run, new or empty.")),
    ] = None,
    json: flags.Json = False,
) -> Outcome:
    """Runs the command."""
    if lang is not None:
        if lang not in LANGUAGES:
            raise UsageError(
                _("The demo does not speak {language!r}.").format(language=lang),
                nearest(lang, LANGUAGES),
            )
        set_language(lang)
    language = current_language()
    with waiting(_("Loading ...")):
        from softprompt.cli.demo_report import introduce, show_demo
        from softprompt.cli.display import Display
        from softprompt.cli.prompt_use import load_predictor, load_prompt
        from softprompt.tasks import Task
        from softprompt.training import start
        from softprompt.training.run_directory import RunDirectory

        config = _config(language, seed or 0)
        task = Task.from_file(config.data, config.task)
    folder = Path(output) if output is not None else _own_folder(language)
    RunDirectory(folder).refuse_used()
    introduce(error_console(), task)
    with Display() as display:
        result = start(config, folder, display)
    if result["test"] is None:
        # Interrupted: there is a prompt, but nothing was measured to show.
        raise KeyboardInterrupt
    with waiting(_("Answering ...")):
        predictor = load_predictor(load_prompt(str(result["prompt"])))
        examples = _examples(predictor, task)
    value = {
        **result,
        "language": language,
        "vectors": predictor.prompt.length,
        "model": _model(predictor),
        "examples": examples,
        "next": _next(config.data, str(result["prompt"]), language),
    }
    wordings = dict(zip(task.labels, predictor.prompt.task.wordings, strict=True))
    return Outcome(value, partial(show_demo, value=value, wordings=wordings), json)


def _config(language: str, seed: int) -> Any:
    """The run's configuration: the sample task's own, and a time budget."""
    from softprompt.tasks.samples import sample_path, sample_settings
    from softprompt.training import RunConfig

    return RunConfig.of(
        str(sample_path(language)),
        task={**sample_settings(language), "seed": seed},
        training={"time_budget": TRAINING_SECONDS, "seed": seed, "population": POPULATION},
    )


def _own_folder(language: str) -> Path:
    """A folder of the demo's own in the user's cache, emptied of the demo before.

    Where that cannot be written, a temporary one.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / _RUN / language
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"{_RUN}-"))
    return folder


def _examples(predictor: Predictor, task: Task) -> list[dict[str, Any]]:
    """A few right and a few wrong answers to test rows, of different labels where there are."""
    found = predictor.predict(task.test)
    picked: list[dict[str, Any]] = []
    for kind, most in _SHOWN.items():
        pairs = [
            (row, prediction)
            for row, prediction in zip(task.test, found, strict=True)
            if (row.answer == prediction.answer) == (kind == "right")
        ]
        # Each label's first row comes before any label's second.
        seen: dict[str, int] = {}
        order: list[tuple[int, int]] = []
        for place, (row, _prediction) in enumerate(pairs):
            turn = seen[str(row.answer)] = seen.get(str(row.answer), 0) + 1
            order.append((turn, place))
        for _turn, place in sorted(order)[:most]:
            row, prediction = pairs[place]
            picked.append(
                {
                    "text": row.columns["text"],
                    "label": row.answer,
                    "answer": prediction.answer,
                    "probability": prediction.probability,
                }
            )
    return picked


def _model(predictor: Predictor) -> dict[str, Any]:
    backbone = predictor.backbone
    return {
        "name": backbone.identity.name,
        "parameters": backbone.parameters,
        "bytes": backbone.weight_bytes,
    }


def _next(data: str, prompt: str, language: str) -> list[list[str]]:
    """Three commands that work when pasted."""
    return [
        ["softprompt", "predict", prompt, _("The soup was cold and nobody cared.")],
        ["softprompt", "check", data, "--target", "sentiment"],
        ["softprompt", "tune", data, "--target", "topic", "--output", f"topic-{language}"],
    ]
