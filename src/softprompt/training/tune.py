"""The way into training: from a task, a backbone and settings to a run that is carried out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.backbones import Backbone
from softprompt.errors import UsageError, nearest
from softprompt.locale import _
from softprompt.prompts import PromptConfig
from softprompt.prompts.peft_config import described
from softprompt.prompts.presets import PRESETS
from softprompt.tasks import Task
from softprompt.training.checks import refuse_untried
from softprompt.training.config import TrainingConfig, validated
from softprompt.training.growth import Growth
from softprompt.training.reporters import Reporter
from softprompt.training.run_directory import RunDirectory
from softprompt.training.setup import Setup
from softprompt.training.tuning import Tuning

__all__ = ["tune", "with_settings"]


def tune(
    task: Task,
    backbone: Backbone,
    output: str | Path,
    *,
    prompt: PromptConfig | Any = None,
    training: TrainingConfig | None = None,
    slice_column: str | None = None,
    chat: str = "auto",
    config: dict[str, Any] | None = None,
    reporter: Reporter | None = None,
    make: Callable[..., Tuning] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Trains a soft prompt and saves it with its measurements.

    Args:
        task: what to learn, with rows of all splits.
        backbone: the frozen model.
        output: the run's folder; a run that was begun there goes on, and is refused where its
            settings or rows were others.
        prompt: placement, depth, parametrisation, initialisation, length; a PEFT configuration of
            prompt tuning, P-tuning or prefix tuning describes them too.
        training: the optimisation.
        slice_column: a column whose values are scored apart.
        chat: use of the model's chat template: `auto`, `on`, `off`.
        config: the resolved configuration to write down; made from the parts when absent.
        reporter: hears of the run.
        make: what carries the run out, made as a `Tuning` is; what the settings ask for when
            absent.
        settings: fields of `prompt` and `training` by name, for example `epochs=10`.

    Returns:
        `prompt` (path), `validation`, `test` and `baselines` (metrics, fractions),
        `trainable_parameters`, `artifact_bytes`, `seconds` (by stage), `peak_memory_bytes`.

    Raises:
        SoftPromptError: what is wrong with data, settings or folder.
    """
    if prompt is not None and not isinstance(prompt, PromptConfig):
        prompt = _axes_of(prompt, settings, backbone.form)
    prompt, training = with_settings(
        settings, prompt or PromptConfig(), training or TrainingConfig()
    )
    setup = Setup.of(task, backbone, prompt, training, slice_column, chat)
    resolved = config or {
        "data": task.name,
        "rows": task.digest(),
        "prompt": prompt.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "backbone": backbone.settings,
    }
    directory = RunDirectory(Path(output))
    if directory.read("config.json") is None:
        # A search has as many candidates as its rounds make of them.
        slots = task.template.slots if task.template else ()
        refuse_untried(prompt, training, slots, rounds=make is not None)
    make = make or (Tuning if training.grow_to is None else Growth)
    return make(setup, directory, resolved, reporter or Reporter()).run()


def _axes_of(config: Any, settings: dict[str, Any], form: str) -> PromptConfig:
    """What a configuration of PEFT describes for a form of backbone, with no method by name beside.

    Raises:
        UsageError: one is given.
        ConfigError: it describes no soft prompt.
    """
    if "method" in settings:
        raise UsageError(
            _(
                "A configuration of PEFT names its method itself; method={method!r} is given."
            ).format(method=settings["method"]),
            _("Leave one of the two out."),
        )
    return described(config, form)


def with_settings(
    settings: dict[str, Any], prompt: PromptConfig, training: TrainingConfig
) -> tuple[PromptConfig, TrainingConfig]:
    """The two sections with settings given by name put in.

    Raises:
        UsageError: a name that neither has.
    """
    known = {*PromptConfig.model_fields, *TrainingConfig.model_fields}
    for name in settings:
        if name not in known:
            raise UsageError(_("Unknown setting {name!r}.").format(name=name), nearest(name, known))
    mine = {k: v for k, v in settings.items() if k in PromptConfig.model_fields}
    mine = {**_given(prompt, renamed="method" in mine), **mine}
    other = {k: v for k, v in settings.items() if k in TrainingConfig.model_fields}
    return (
        validated("prompt", PromptConfig, mine),
        validated("training", TrainingConfig, {**training.model_dump(exclude_unset=True), **other}),
    )


def _given(prompt: PromptConfig, *, renamed: bool) -> dict[str, Any]:
    """The settings of a prompt; without those that its method stands for, where that is another."""
    given = prompt.model_dump(exclude_unset=True)
    if not renamed or prompt.method is None:
        return given
    named = PRESETS[prompt.method].axes
    return {name: value for name, value in given.items() if named.get(name) != value}
