"""The four choices that make a soft prompt, and what goes with them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from softprompt.errors import ConfigError, nearest
from softprompt.locale import _, mark
from softprompt.prompts.presets import PRESETS
from softprompt.tasks.text import normalise

__all__ = ["CHOOSING", "WRITING", "PromptConfig"]

CHOOSING, WRITING = 8, 32
"""Vectors of a prompt for answer choices and of one for free text, where no length is given: what
is written takes more of them (benchmarks/LOG.md, "Writing freely").
"""


class PromptConfig(BaseModel):
    """Placement, depth, parametrisation and initialisation of a soft prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: str | None = Field(
        None,
        description=mark(
            "A method by its name, such as `prompt-tuning` or `prefix-tuning`: sets the axes that "
            "are not given."
        ),
    )
    placement: str = Field(
        "suffix",
        description=mark(
            "`suffix` (before the answer), `prefix` (after BOS), `front` (before BOS), "
            "`both` (half after BOS, half before the answer) or `slots` (where the template says "
            "{prompt:N}; chosen by itself when it does)."
        ),
    )
    depth: str = Field(
        "input",
        description=mark(
            "Where vectors enter: among the `input` embeddings, or `deep`: fresh ones at "
            "every layer, or `kv`: keys and values at every layer."
        ),
    )
    parametrisation: str = Field(
        "direct",
        description=mark(
            "`direct` vectors, `residual` (plus a small network of them), `encoder` or "
            "`encoder_lstm` (a network emits them), `superposition` (mixes of vocabulary "
            "embeddings) or `low_rank`."
        ),
    )
    initialisation: str = Field(
        "auto",
        description=mark(
            "`labels`, `keywords`, `vocabulary`, `random`, `text`, `context` "
            "(demonstrations from the training rows) or `prompt`; `auto` is "
            "`labels` for answer choices and `vocabulary` for free text."
        ),
    )
    length: int | None = Field(
        None,
        ge=1,
        le=512,
        description=mark(
            "Vectors of the prompt; not given: as many as the prompt has that it starts from, else "
            "8 for answer choices and 32 for free text."
        ),
    )
    text: str | None = Field(
        None, description=mark("Text that the initialisations `text` and `context` start from.")
    )
    start: str | None = Field(
        None, description=mark("Folder of the prompt that the initialisation `prompt` starts from.")
    )

    @field_validator("text")
    @classmethod
    def _normalised(cls, text: str | None) -> str | None:
        return None if text is None else normalise(text)

    def vectors(self, *, choices: bool) -> int:
        """The length, also where none is given.

        Args:
            choices: whether the task has answer choices.
        """
        return self.length or (CHOOSING if choices else WRITING)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """Puts in what a method's name stands for.

        Raises:
            ConfigError: no method has that name.
        """
        name = values.get("method") if isinstance(values, dict) else None
        if name is None:
            return values
        if not isinstance(name, str) or name not in PRESETS:
            raise ConfigError(
                _("Unknown method {name!r}.").format(name=name), nearest(str(name), PRESETS)
            )
        return {**PRESETS[name].axes, **values}
