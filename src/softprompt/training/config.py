"""How a prompt is trained, and the whole configuration of a run.

A run's configuration has five sections, each defined beside its own room. Unknown keys are errors
that name the nearest valid one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from softprompt.backbones import BackboneConfig, Precision
from softprompt.errors import ConfigError, nearest, refusal, system_reason
from softprompt.locale import _, mark
from softprompt.prompts import PromptConfig
from softprompt.tasks import TaskConfig
from softprompt.training.yaml_values import assignment, read_yaml

__all__ = ["RunConfig", "SearchConfig", "TrainingConfig", "validated"]


class TrainingConfig(BaseModel):
    """The optimisation of a soft prompt, or of a population of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int | None = Field(
        None,
        ge=1,
        description=mark(
            "Passes over the training rows at most; not given: enough for 1,500 steps, "
            "between 12 and 40."
        ),
    )
    batch_size: int = Field(16, ge=1, description=mark("Rows per step."))
    objective: str = Field(
        "auto",
        description=mark(
            "`answer` (likelihood of the row's own answer), `choices` (the right choice "
            "among all, read until they differ) or `whole_choices` (all tokens of each); `auto` is "
            "`choices` where there are choices."
        ),
    )
    optimizer: str = Field("muon", description=mark("`muon`, `adamw` or `adafactor`."))
    learning_rate: float = Field(
        0.3,
        gt=0,
        description=mark(
            "Peak rate, in units of the embedding scale per step; a population "
            "also tries lower and higher ones."
        ),
    )
    population: int | None = Field(
        None,
        ge=1,
        le=256,
        description=mark(
            "Prompts that train together at first; 1 trains a single one. Not given: 6 "
            "for answer choices, 4 for free text, more where more values are to be tried."
        ),
    )
    survivors: int = Field(
        4, ge=1, description=mark("Prompts of a population that train to the end.")
    )
    halvings: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.3,),
        description=mark(
            "Shares of the steps after which the worse prompts of a population are given up."
        ),
    )
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (), description=mark("Peak rates that a population tries, in place of its own choice.")
    )
    initialisations: tuple[str, ...] = Field(
        (), description=mark("Initialisations that a population tries, in place of its own choice.")
    )
    parametrisations: tuple[str, ...] = Field(
        (),
        description=mark("Parametrisations that a population tries; not given: the prompt's own."),
    )
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (),
        description=mark(
            "Lengths that a population tries, in vectors; not given: the prompt's own."
        ),
    )
    grow_to: int | None = Field(
        None,
        ge=1,
        le=512,
        description=mark(
            "Longest prompt, in vectors: training begins with 8 and doubles them while "
            "validation rows say that it pays; not given: the length stays as it is."
        ),
    )
    ensemble: Literal["auto", "off"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description=mark(
            "Keep the mean of the survivors where it makes right labels of validation rows "
            "likelier (`auto`), the best prompt alone (`off`), or that many survivors, of which "
            "there are enough unless `survivors` and `population` say otherwise."
        ),
    )
    readout: Literal["auto", "on", "off"] = Field(
        "auto",
        description=mark(
            "A linear readout of cached contexts beside the prompts: where it makes right "
            "labels of validation rows likelier (`auto`), always (`on`) or never (`off`); needs "
            "choices, a decoder and placement suffix, and an engine that holds contexts (not vLLM)."
        ),
    )
    token_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=mark(
            "Chance of each place of a `kv` prompt to be hidden from a row in a step; 0.05 "
            "suits prompts made of demonstrations."
        ),
    )
    weight_decay: float = Field(
        0.0, ge=0, description=mark("Decoupled weight decay, per step and rate.")
    )
    warmup: float = Field(0.06, ge=0, le=1, description=mark("Share of the steps that warm up."))
    clip: float = Field(
        1.0, gt=0, description=mark("Largest gradient norm; larger ones are scaled.")
    )
    metric: str = Field(
        "auto",
        description=mark(
            "What decides which prompt is best; `auto` is macro_f1 for classification and "
            "token_f1 for free text."
        ),
    )
    validations: int | None = Field(
        None,
        ge=1,
        description=mark(
            "Validations per epoch; not given: one, or fewer where a run would have more than 24."
        ),
    )
    patience: int | None = Field(
        None,
        ge=1,
        description=mark(
            "Validations without a better prompt before training stops; not given: two "
            "thirds of all, at least 6."
        ),
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0, description=mark("Seconds between checkpoints beside those at validations.")
    )
    time_budget: float | None = Field(
        None, gt=0, description=mark("Seconds that training may take; epochs are cut to fit.")
    )
    cache_share: float = Field(
        0.3,
        ge=0,
        le=0.9,
        description=mark("Share of free memory for cached contexts; 0 keeps them on disk alone."),
    )
    disk_cache: Literal["auto", "on", "off"] = Field(
        "auto",
        description=mark(
            "Contexts on disk: what memory does not hold and what took long to compute "
            "(`auto`), all (`on`) or none (`off`)."
        ),
    )
    cache_precision: Precision = Field(
        "full",
        description=mark(
            "Precision of cached contexts: the model's own (`full`), bfloat16 (`half`) or "
            "8-bit (`eight`); the result says by how much the last two change the loss."
        ),
    )
    max_new_tokens: int = Field(64, ge=1, description=mark("Longest free answer, in tokens."))
    drop_long: bool = Field(
        False, description=mark("Leave out rows that do not fit into the model's window.")
    )
    baselines: tuple[str, ...] = Field(
        ("majority", "zero_shot"), description=mark("Baselines measured on the test rows.")
    )
    hand_prompts: tuple[str, ...] = Field(
        (), description=mark("Templates for the zero-shot baseline in place of the standard ones.")
    )
    shots: int = Field(4, ge=1, description=mark("Demonstrations of the few-shot baseline."))
    reporters: tuple[str, ...] = Field(
        (), description=mark("`tensorboard`, `wandb`, `mlflow`, ...")
    )
    seed: int = Field(
        0, ge=0, lt=2**32, description=mark("Seed of initial vectors and of the order of rows.")
    )

    @model_validator(mode="before")
    @classmethod
    def _enough_for_the_ensemble(cls, values: dict[str, Any]) -> dict[str, Any]:
        """As many prompts as the ensemble asks for, where their numbers are not given."""
        wanted = values.get("ensemble")
        if not isinstance(wanted, int) or wanted <= cls.model_fields["survivors"].default:
            return values
        given = {name: value for name, value in values.items() if value is not None}
        tried = [value for value in given.values() if isinstance(value, list | tuple)]
        return {"survivors": wanted, "population": max(wanted, 6, *map(len, tried)), **given}


class SearchConfig(BaseModel):
    """What is tried before a run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    rounds: int = Field(
        0,
        ge=0,
        description=mark("Rounds of short trainings, a population each; 0 searches nothing."),
    )
    share: float = Field(
        0.3, gt=0, le=1, description=mark("Share of the run's epochs that a round trains for.")
    )


class RunConfig(BaseModel):
    """Everything that decides a run's result."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: str = Field(description=mark("File or `hf:NAME` with the training rows."))
    task: TaskConfig = Field(default_factory=TaskConfig)
    backbone: BackboneConfig = Field(default_factory=BackboneConfig)
    prompt: PromptConfig = Field(default_factory=PromptConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)

    @classmethod
    def of(
        cls,
        data: str,
        file: Path | None = None,
        assignments: Sequence[str] = (),
        **sections: Mapping[str, Any],
    ) -> RunConfig:
        """The configuration of a file, then of named sections, then of `key=value` assignments.

        Args:
            data: the training data.
            file: a YAML file with the sections `task`, `backbone`, `prompt`, `training`,
                `search`; those of other commands (`OTHER_SECTIONS`) are left to them.
            assignments: `section.key=value`, or `key=value` where one section alone has the key;
                values are YAML.
            sections: values by section, as flags give them; None values are left out.

        Raises:
            ConfigError: an unknown key (the nearest is named) or a value that cannot be.
        """
        values: dict[str, dict[str, Any]] = {name: {} for name in _SECTIONS}
        for section, content in _sections(file).items() if file else ():
            if section in values:
                values[section].update(content)
        for section, given in sections.items():
            values[section].update({k: v for k, v in given.items() if v is not None})
        for text in assignments:
            section, key, value = _assignment(text)
            values[section][key] = value
        built = {
            name: validated(name, _SECTIONS[name], content) for name, content in values.items()
        }
        return cls(data=data, **built)

    @classmethod
    def from_json(cls, value: Any) -> RunConfig:
        """The configuration that a run directory holds.

        Raises:
            ConfigError: it was changed into something that cannot be.
        """
        if isinstance(value, dict):
            sections = {name: value.get(name, {}) for name in _SECTIONS}
            if all(isinstance(section, dict) for section in sections.values()):
                return cls.of(str(value.get("data", "")), **sections)
        raise ConfigError(_("A section of the stored settings (config.json) is damaged."))


OTHER_SECTIONS = ("compare",)
"""Of the same file, for commands that are about more than one run."""

_SECTIONS: dict[str, type[BaseModel]] = {
    "task": TaskConfig,
    "backbone": BackboneConfig,
    "prompt": PromptConfig,
    "training": TrainingConfig,
    "search": SearchConfig,
}


M = TypeVar("M", bound=BaseModel)


def validated(name: str, model: type[M], content: Mapping[str, Any]) -> M:
    """A section of the configuration from plain values.

    Raises:
        ConfigError: an unknown key (the nearest is named) or a value that cannot be.
    """
    for key in content:
        if key not in model.model_fields:
            raise ConfigError(
                _("Unknown setting {section}.{key}.").format(section=name, key=key),
                nearest(key, model.model_fields),
            )
    try:
        return model(**content)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else name
        # Of every kind that the setting can have.
        same = [each for each in error.errors() if each["loc"][:1] == first["loc"][:1]]
        reasons = dict.fromkeys(refusal(each["msg"]).lower() for each in same)
        about = model.model_fields[key].description if key in model.model_fields else None
        raise ConfigError(
            _("{section}.{key} cannot be {value!r}: {why}.").format(
                section=name, key=key, value=first["input"], why=_(" or ").join(reasons)
            ),
            _(about) if about else "",
        ) from error


def section_of(file: Path, name: str) -> dict[str, Any]:
    """A section of a YAML file; empty where it has none.

    Raises:
        ConfigError: the file cannot be read, or holds something else than sections.
    """
    return dict(_sections(file).get(name, {}))


def _sections(file: Path) -> dict[str, dict[str, Any]]:
    found = _read(file)
    allowed = (*_SECTIONS, *OTHER_SECTIONS)
    for section, content in found.items():
        if section in allowed and not isinstance(content, dict):
            told = _("The section {section!r} in {file} holds no settings.")
            raise ConfigError(told.format(section=section, file=file))
        if section not in allowed:
            raise ConfigError(
                _("Unknown section {section!r} in {file}.").format(section=section, file=file),
                nearest(section, allowed),
            )
    return found


def _read(file: Path) -> dict[str, Any]:
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            _("The configuration {file} cannot be read: {error}.").format(
                file=file, error=system_reason(error)
            )
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            _("The configuration {file} is not YAML: {first}.").format(file=file, first=first)
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            _("The configuration {file} holds no sections.").format(file=file),
            _("Write for example 'training:' and below it '  epochs: 10'."),
        )
    return content


def _assignment(text: str) -> tuple[str, str, Any]:
    key, value = assignment(text, "epochs=10")
    section, dot, name = key.partition(".")
    owners = [s for s, model in _SECTIONS.items() if key in model.model_fields]
    if not dot:
        if len(owners) != 1:
            every = {f"{s}.{k}" for s, model in _SECTIONS.items() for k in model.model_fields}
            close = nearest(key, every) if owners else _nearest_key(key)
            raise ConfigError(_("Unknown or ambiguous setting {key!r}.").format(key=key), close)
        section, name = owners[0], key
    if section not in _SECTIONS:
        raise ConfigError(
            _("Unknown section {section!r} in {text!r}.").format(section=section, text=text),
            nearest(section, {*_SECTIONS, *OTHER_SECTIONS} - {section}),
        )
    return section, name, value


def _nearest_key(key: str) -> str:
    return nearest(key, {name for model in _SECTIONS.values() for name in model.model_fields})
