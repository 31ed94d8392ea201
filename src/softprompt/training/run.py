"""Runs from a configuration: what `softprompt tune DATA` and `softprompt tune --resume DIR` do.

A configuration with rounds of a search makes the run of `softprompt search`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from softprompt.backbones import load_backbone
from softprompt.errors import UsageError
from softprompt.locale import _
from softprompt.tasks import Task
from softprompt.training.config import RunConfig
from softprompt.training.growth import first_length
from softprompt.training.proposals import optuna_module
from softprompt.training.reporters import Reporter
from softprompt.training.run_directory import RunDirectory
from softprompt.training.search import Search, round_directory
from softprompt.training.tune import tune

__all__ = ["resume", "start"]


def start(config: RunConfig, output: Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """A new run in an empty or absent folder.

    Raises:
        UsageError: the folder is in use or cannot be written.
        SoftPromptError: what is wrong with data, model or settings.
    """
    RunDirectory(output).refuse_used()
    if config.search.rounds:
        optuna_module()
    return _run(config, output, reporter)


def resume(folder: Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Goes on with a run where its newest whole checkpoint is; a finished one gives its result.

    Raises:
        UsageError: the folder holds no run, or data or backbone have changed.
    """
    directory = RunDirectory(folder)
    stored = directory.read("config.json")
    if stored is None:
        raise UsageError(
            _("{folder} holds no run: there is no config.json in it.").format(folder=folder),
            _("Name the folder that `softprompt tune` was given with --output."),
        )
    if "comparison" in stored:
        raise UsageError(
            _("{folder} holds a comparison.").format(folder=folder),
            _("Go on with `softprompt compare --resume {folder}`.").format(folder=folder),
        )
    config = RunConfig.from_json(stored)
    parts = (directory, round_directory(folder, 1), first_length(folder))
    plan = next((plan for part in parts if (plan := part.read("plan.json")) is not None), None)
    if plan is not None:
        backbone = config.backbone.model_copy(update={"dtype": plan["dtype"]})
        config = config.model_copy(update={"backbone": backbone})
    return _run(config, folder, reporter)


def _run(config: RunConfig, output: Path, reporter: Reporter | None) -> dict[str, Any]:
    reporter = reporter or Reporter()
    reporter.stage("load", {"data": config.data, "model": config.backbone.model})
    task = Task.from_file(config.data, config.task)
    settings = config.backbone.model_dump()
    backbone = load_backbone(settings.pop("model"), **settings)
    return tune(
        task,
        backbone,
        output,
        prompt=config.prompt,
        training=config.training,
        slice_column=config.task.slice,
        chat=config.task.chat,
        config=config.model_dump(mode="json"),
        reporter=reporter,
        make=partial(Search, how=config.search) if config.search.rounds else None,
    )
