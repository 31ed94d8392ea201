"""A saved prompt made ready to answer: loaded, reworded where asked, with its own model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from softprompt.backbones import load_backbone
from softprompt.errors import BackboneError, UsageError, nearest
from softprompt.evaluation import default_metric
from softprompt.inference import Predictor
from softprompt.inference.predictor import refuse_vectors
from softprompt.locale import _
from softprompt.prompts import SoftPrompt
from softprompt.tasks import TaskConfig

__all__ = ["chosen_by", "load_predictor", "load_prompt"]


def load_prompt(
    path: str,
    *,
    target: str | None = None,
    template: str | None = None,
    choices: str | None = None,
) -> SoftPrompt:
    """A prompt, with other text around it or other words for its answers where given.

    Args:
        path: its folder; the run's folder is taken as well.
        target: column of the answers in files, in place of its own.
        template: in place of its own.
        choices: "label=wording,..." for some or all of its labels.

    Raises:
        ArtifactError: the folder is no prompt, or a damaged one.
        UsageError: a template or label that does not fit the prompt.
    """
    folder = Path(path)
    if not (folder / "prompt.json").is_file() and (folder / "prompt" / "prompt.json").is_file():
        folder = folder / "prompt"
    prompt = SoftPrompt.load(folder)
    if target is not None:
        prompt = replace(prompt, task=replace(prompt.task, target=target))
    if template is not None:
        prompt = prompt.with_template(template)
    return prompt if choices is None else _reworded(prompt, choices)


def chosen_by(prompt: SoftPrompt) -> str:
    """The metric that chose a prompt, as far as it says so."""
    name = (prompt.config.get("training") or {}).get("metric", "auto")
    return default_metric(prompt.task.kind) if name == "auto" else str(name)


def load_predictor(
    prompt: SoftPrompt, *, model: str | None = None, device: str | None = None
) -> Predictor:
    """The prompt with its model, in the precision that it was trained in.

    Args:
        prompt: as loaded.
        model: where its model is, when it is not where it was.
        device: to compute on.

    Raises:
        BackboneError: the model cannot be loaded.
        ArtifactError: it is not the prompt's own.
        UsageError: the prompt is one of `tune_vectors`.
    """
    refuse_vectors(prompt)
    name = model or prompt.backbone.name
    revision = prompt.backbone.revision if model is None else None
    if model is None and Path(name).is_absolute() and not Path(name).exists():
        raise BackboneError(
            _("There is no model folder {folder}.").format(folder=name),
            _("Say with --model where the prompt's model is now."),
        )
    backbone = load_backbone(name, revision=revision, dtype=prompt.dtype, device=device or "auto")
    return Predictor(prompt, backbone)


def _reworded(prompt: SoftPrompt, choices: str) -> SoftPrompt:
    wordings: Mapping[str, str] = TaskConfig.from_settings({"choices": choices}).choices or {}
    if not prompt.task.choices:
        raise UsageError(
            _("The prompt writes freely and has no choices to word."), _("Leave out --choices.")
        )
    if prompt.heads:
        raise UsageError(
            _("The prompt chooses by a head, which reads no wordings."), _("Leave out --choices.")
        )
    for label in wordings:
        if label not in prompt.task.labels:
            raise UsageError(
                _("The prompt has no label {label!r}.").format(label=label),
                nearest(label, prompt.task.labels),
            )
    worded = tuple(
        replace(choice, wording=wordings.get(choice.label, choice.wording))
        for choice in prompt.task.choices
    )
    # Two of the same wording are refused, as they are before training.
    TaskConfig.from_settings({"choices": {c.label: c.wording for c in worded}})
    return replace(prompt, task=replace(prompt.task, choices=worded))
