"""A configuration of PEFT as a description of the four axes.

It reads the attributes that PEFT documents and needs no PEFT itself.
"""

from __future__ import annotations

import warnings
from typing import Any

from pydantic import ValidationError

from softprompt.errors import ConfigError, nearest, refusal
from softprompt.locale import _
from softprompt.prompts.config import PromptConfig

__all__ = ["TASK_FORMS", "described"]


TASK_FORMS = {
    "CAUSAL_LM": "continued",
    "SEQ_2_SEQ_LM": "encoder_decoder",
    "SEQ_CLS": "pooled",
    "TOKEN_CLS": "",
    "QUESTION_ANS": "",
    "FEATURE_EXTRACTION": "",
}
"""The form of backbone that PEFT's task types are of: none where the outputs are not those of a
task here. On a decoder, SEQ_CLS trains a head that prompts for decoders do not have."""


def described(config: Any, form: str) -> PromptConfig:
    """The prompt that a `PromptTuningConfig`, `PromptEncoderConfig` or `PrefixTuningConfig` means.

    Args:
        config: of PEFT; its number of virtual tokens must be set.
        form: of the backbone that the prompt is for.

    Raises:
        ConfigError: another configuration, one of a backbone of another form, one without a length,
            or one that trains layers beside the prompt.
    """
    kind = str(getattr(getattr(config, "peft_type", ""), "value", getattr(config, "peft_type", "")))
    if kind not in _AXES:
        raise ConfigError(
            _("{config} of type {kind!r} describes no soft prompt.").format(
                config=type(config).__name__, kind=kind or "none"
            ),
            _("Give one of {names}, or a PromptConfig.").format(names=", ".join(sorted(_AXES))),
        )
    if not config.num_virtual_tokens:
        raise ConfigError(_("The PEFT configuration does not say num_virtual_tokens."))
    if getattr(config, "modules_to_save", None):
        raise ConfigError(
            _(
                "{config}: layers that are trained beside the prompt (modules_to_save) are not."
            ).format(config=type(config).__name__),
            _("Leave modules_to_save out; an encoder classifier has a head of its own."),
        )
    task = getattr(config, "task_type", None)
    task = str(getattr(task, "value", task))
    if TASK_FORMS.get(task, form) != form:
        raise ConfigError(
            _("{config} is of task type {task!r}, and the backbone is of another form.").format(
                config=type(config).__name__, task=task
            ),
            _("Leave task_type out: the form of the backbone decides."),
        )
    _tell_unused(config)
    axes: dict[str, Any] = {"placement": "front", "length": config.num_virtual_tokens}
    try:
        return PromptConfig(**{**axes, **_AXES[kind](config, form)})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            _("{config}: {name} cannot be {value!r}: {why}.").format(
                config=type(config).__name__,
                name=first["loc"][0],
                value=first["input"],
                why=refusal(first["msg"]).lower(),
            )
        ) from error


def _tell_unused(config: Any) -> None:
    """Warns of settings of PEFT's networks, whose sizes are this project's own here."""
    layers = 1 if _has_lstm(config) else 2
    usual = {"encoder_hidden_size": None, "encoder_num_layers": layers, "encoder_dropout": 0.0}
    unused = [name for name, value in usual.items() if getattr(config, name, value) != value]
    if unused:
        text = _(
            "{config}: the network that emits the vectors has sizes of its own; unused: {names}."
        )
        warnings.warn(
            text.format(config=type(config).__name__, names=", ".join(unused)), stacklevel=4
        )


def _prompt_tuning(config: Any, form: str) -> dict[str, Any]:
    start = str(getattr(config.prompt_tuning_init, "value", config.prompt_tuning_init)).upper()
    if start == "TEXT":
        return {"initialisation": "text", "text": config.prompt_tuning_init_text}
    return {"initialisation": "vocabulary" if start == "SAMPLE_VOCAB" else "random"}


def _p_tuning(config: Any, form: str) -> dict[str, Any]:
    kind = _network(config)
    if kind not in ("", "MLP", "LSTM"):
        raise ConfigError(
            _("{config}: encoder_reparameterization_type cannot be {kind!r}.").format(
                config=type(config).__name__, kind=kind
            ),
            nearest(kind, ("MLP", "LSTM")),
        )
    emitted = "encoder_lstm" if _has_lstm(config) else "encoder"
    return {"parametrisation": emitted, "initialisation": "random"}


def _has_lstm(config: Any) -> bool:
    return _network(config) == "LSTM"


def _network(config: Any) -> str:
    kind = getattr(config, "encoder_reparameterization_type", "")
    return str(getattr(kind, "value", kind)).upper()


def _prefix_tuning(config: Any, form: str) -> dict[str, Any]:
    weights = getattr(config, "init_weights", None)
    if weights is not None:
        raise ConfigError(
            _("{config}: a prefix does not begin from {weights!r} weights here.").format(
                config=type(config).__name__, weights=weights
            ),
            _("Leave init_weights out, or give a PromptConfig with another initialisation."),
        )
    emitted = "encoder" if config.prefix_projection else "direct"
    axes = {"depth": "kv", "parametrisation": emitted, "initialisation": "random"}
    # Of an encoder-decoder the prefix stands in the decoder, before its start token.
    return {**axes, "placement": "suffix"} if form == "encoder_decoder" else axes


_AXES = {
    "PROMPT_TUNING": _prompt_tuning,
    "P_TUNING": _p_tuning,
    "PREFIX_TUNING": _prefix_tuning,
}
