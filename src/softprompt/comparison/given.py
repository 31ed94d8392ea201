"""What a comparison is given, read and checked: tasks, packages, numbers of rows."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch

from softprompt.backbones import Backbone
from softprompt.comparison.config import CompareConfig
from softprompt.comparison.domain import domain_of
from softprompt.comparison.files import rows_of
from softprompt.comparison.job import Job
from softprompt.comparison.methods import METHODS
from softprompt.comparison.prompted import refuse_prompt
from softprompt.errors import ConfigError, DataError, UsageError
from softprompt.locale import _
from softprompt.tasks import Task, TaskConfig
from softprompt.tasks.splits import draw
from softprompt.training import RunConfig
from softprompt.training.checks import check_hand_prompts, refuse_untried

__all__ = [
    "CHANGEABLE",
    "limited",
    "loaded_for",
    "other_of",
    "refuse_absent",
    "refuse_curve",
    "refuse_fixed",
    "refuse_settings",
    "refuse_sizes",
    "refuse_unused",
    "task_of",
    "up_to_date",
]

CHANGEABLE = ("methods", "curve", "escalate", "price_per_hour", "price_per_kwh")
"""Settings that a comparison may be given anew when it goes on."""
_OF_OTHER = ("input", "target", "choices", "template")
_OTHER_FLAGS = {f"--{name}": f"--other-{name}" for name in _OF_OTHER}


def up_to_date(how: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as an older version has stored them, in today's terms.

    A comparison that says nothing of LoRA's passes was begun with those of full fine-tuning; one
    that names least steps had numbers of passes where today none means those of the soft prompt.
    """
    found = {"lora_epochs": how.get("epochs"), **how}
    if found.pop("least_steps", None) is not None:
        usual = {"epochs": 12, "lora_epochs": 12, "search_epochs": 2}
        found |= {name: None for name, value in usual.items() if found.get(name) == value}
    return found


def refuse_absent(how: CompareConfig) -> None:
    """Refuses methods that are unknown or need a package that is not installed.

    Raises:
        UsageError: with what to install.
    """
    for name in how.methods:
        needed = METHODS.get(name).needs
        if needed is not None and find_spec(needed) is None:
            raise UsageError(
                _("The method {name!r} needs {needed}, which is not installed.").format(
                    name=name, needed=needed
                ),
                _("Run: pip install 'softprompt[compare]', or leave it out of --methods."),
            )


def refuse_fixed(how: CompareConfig) -> None:
    """Refuses settings that measurements rest on.

    Raises:
        UsageError: naming those that may be given anew.
    """
    for name in sorted(how.model_fields_set.difference(CHANGEABLE)):
        raise UsageError(
            _("A comparison that is begun keeps its compare.{name}.").format(name=name),
            _("It takes {names}; for others begin a new one.").format(names=", ".join(CHANGEABLE)),
        )


def refuse_unused(config: RunConfig, how: CompareConfig) -> None:
    """Refuses settings that nothing would come of.

    Raises:
        ConfigError: with what they belong to.
    """
    if config.search.rounds:
        raise ConfigError(
            _("search.rounds is {n}, and a comparison searches by its population alone.").format(
                n=config.search.rounds
            ),
            _("Leave it out, or find settings with `softprompt search` and give them here."),
        )
    for name in (f"other_{name}" for name in _OF_OTHER):
        if how.other is None and getattr(how, name) is not None:
            raise ConfigError(
                _("compare.{name} belongs to another task, and there is none.").format(name=name),
                _("Name its file with --other, or leave it out."),
            )
    if how.domain_target is not None and how.has_passages:
        raise ConfigError(
            _("compare.domain_target is a column, and {name} has passages.").format(
                name=how.domain
            ),
            _("Leave --domain-target out, or name a file with columns."),
        )
    refuse_curve(how)
    readers = [name for name in METHODS if METHODS.get(name).reads_domain]
    for name in ("domain", "domain_target"):
        if getattr(how, name) is not None and not set(readers) & set(how.methods):
            raise ConfigError(
                _("compare.{name} is read by none of the methods.").format(name=name),
                _("Add one to --methods ({names}), or leave it out.").format(
                    names=", ".join(readers)
                ),
            )


def refuse_curve(how: CompareConfig) -> None:
    """Refuses a learning curve where nothing learns.

    Raises:
        ConfigError: naming the methods.
    """
    if how.curve and not any(METHODS.get(name).trains for name in how.methods):
        raise ConfigError(
            _("--curve is of methods that learn, and there is none among: {names}.").format(
                names=", ".join(how.methods)
            ),
            _("Add one to --methods, for example soft_prompt, or leave it out."),
        )


def task_of(config: RunConfig) -> Task:
    """The task of a comparison.

    Raises:
        DataError: it cannot be read, or has no validation or test rows.
    """
    task = Task.from_file(config.data, config.task)
    if not task.test:
        raise DataError(
            _("There are no test rows to compare methods on."),
            _("Name a file with --test, or leave test_share above 0."),
        )
    if not task.validation:
        raise DataError(
            _("There are no validation rows to choose settings by."),
            _("Name a file with --validation, or leave validation_share above 0."),
        )
    return task


def other_of(how: CompareConfig) -> Task:
    """The other task, whose test rows are answered; all its rows are, where no file has such a
    part: nothing is learned from it.

    Raises:
        DataError: it cannot be read, or it is not clear which of its columns are meant.
    """
    assert how.other is not None, "asked for"
    settings = TaskConfig(
        input=how.other_input,
        target=how.other_target,
        choices=how.other_choices,
        template=how.other_template,
        validation_share=0.0,
        test_share=0.0,
        drop_empty=True,
    )
    task = rows_of(how.other, settings, _OTHER_FLAGS)
    return task if task.test else replace(task, test=(*task.train, *task.validation))


def limited(task: Task, rows: int, seed: int) -> Task:
    """The task with some of its training rows, the same for every method."""
    train = draw(task.train, task.inputs, limit=rows, seed=seed, by_label=bool(task.choices))
    return replace(task, train=train)


def loaded_for(name: str, job: Job) -> Backbone:
    """The backbone that a method begins with; the domain that it learns first can be read as well.

    Raises:
        SoftPromptError: either cannot be loaded.
    """
    if METHODS.get(name).reads_domain and job.how.names_domain:
        domain_of(job)
    return job.backbone()


def refuse_settings(job: Job) -> None:
    """Refuses what no method would get past: hand prompts that are none, a backbone that cannot be
    loaded, and, where a method trains a prompt, settings of one that backbone or task cannot take.

    Raises:
        SoftPromptError: as `softprompt tune` refuses it.
    """
    check_hand_prompts(job.task, job.config.training.hand_prompts)
    backbone = job.backbone()
    if any(METHODS.get(name).reads_prompt for name in job.how.methods):
        slots = job.task.template.slots if job.task.template else ()
        refuse_untried(job.config.prompt, job.config.training, slots)
        refuse_prompt(replace(job, loaded=backbone))
    # Methods may be measured in processes of their own, which need the memory.
    del backbone
    gc.collect()
    torch.cuda.empty_cache()


def refuse_sizes(task: Task, config: RunConfig, how: CompareConfig) -> None:
    """Refuses sizes of the curve that cannot hold every label, or are not below all rows.

    Raises:
        ConfigError: with what can be.
    """
    if how.curve and max(how.curve) >= len(task.train):
        raise ConfigError(
            _("--curve names {n} rows, and there are {all} training rows.").format(
                n=max(how.curve), all=len(task.train)
            ),
            _("All rows are always measured; name fewer, or leave it out."),
        )
    for rows in how.curve:
        try:
            limited(task, rows, config.training.seed)
        except ConfigError as error:
            raise ConfigError(
                _("--curve names {n} rows, which cannot hold two rows of each label.").format(
                    n=rows
                ),
                _("Name {n} or more.").format(n=2 * len(task.labels)),
            ) from error
