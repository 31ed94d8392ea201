"""What is compared, and what each side may spend on finding its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from softprompt.errors import ConfigError
from softprompt.locale import _, mark
from softprompt.tasks import TaskConfig

__all__ = ["CompareConfig"]

Rate = Annotated[float, Field(gt=0)]


class CompareConfig(BaseModel):
    """A comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    methods: tuple[str, ...] = Field(
        ("majority", "own_template", "zero_shot", "few_shot", "soft_prompt", "lora", "full"),
        min_length=1,
        description=mark("What is measured, the cheapest first."),
    )
    lora_rates: tuple[Rate, ...] = Field(
        (3e-4, 1e-3, 3e-3), min_length=1, description=mark("Peak rates that LoRA chooses among.")
    )
    lora_rank: int = Field(
        8, ge=1, description=mark("Rank of LoRA's matrices, on every linear layer.")
    )
    full_rates: tuple[Rate, ...] = Field(
        (1e-4, 3e-4, 1e-3), min_length=1, description=mark("Peak rates of full fine-tuning.")
    )
    suffix_tokens: int = Field(
        16,
        ge=1,
        description=mark(
            "Tokens before the answer that LoRA after the context is active on; what "
            "stands before them is a constant."
        ),
    )
    search_epochs: int | None = Field(
        None,
        ge=1,
        description=mark(
            "Passes that each rate gets before one is chosen on validation rows; not given: a "
            "sixth of those in full."
        ),
    )
    lora_epochs: int | None = Field(
        None, ge=1, description=mark("Passes of LoRA; not given: as many as a soft prompt's.")
    )
    epochs: int | None = Field(
        None,
        ge=1,
        description=mark("Passes of full fine-tuning; not given: as many as a soft prompt's."),
    )
    domain: str | None = Field(
        None,
        description=mark(
            "File of the broad domain that `lora_domain_prompt` and `full_prompt` learn "
            "first: labelled rows, or plain text (.txt, passages separated by empty lines); not "
            "given: the task's own texts."
        ),
    )
    domain_target: str | None = Field(
        None,
        description=mark(
            "Column of the domain's answers; without a domain file, a column of the data."
        ),
    )
    curve: tuple[int, ...] = Field(
        (), description=mark("Numbers of training rows to measure as well, beside all of them.")
    )
    escalate: bool = Field(
        False,
        description=mark(
            "Begin with the cheapest method, go on only while validation says it pays."
        ),
    )
    general: str | None = Field(
        None,
        description=mark(
            "File of general text that forgetting is measured on (passages separated by "
            "empty lines); not given: a small built-in one in English and Vietnamese."
        ),
    )
    other: str | None = Field(
        None, description=mark("Data of another task, answered with and without what was trained.")
    )
    other_input: str | None = Field(
        None, description=mark("Its input columns, separated by commas; found when not given.")
    )
    other_target: str | None = Field(
        None, description=mark("Its column of answers; found when not given.")
    )
    other_choices: Mapping[str, str] | None = Field(
        None, description=mark("Wordings of its labels, label=wording separated by commas.")
    )
    other_template: str | None = Field(
        None, description=mark("How it is asked: text with {column} places and {answer}.")
    )
    latency_rows: int = Field(
        30, ge=1, description=mark("Test rows that are answered one at a time.")
    )
    identical_rows: int = Field(
        64, ge=1, description=mark("Test rows whose scores are compared bit by bit.")
    )
    price_per_hour: float | None = Field(
        None, ge=0, description=mark("Money for an hour of machine.")
    )
    price_per_kwh: float | None = Field(None, ge=0, description=mark("Money for a kWh of energy."))
    watts: float = Field(
        10.0,
        gt=0,
        description=mark(
            "Watts of a busy core, by which energy is estimated where no meter is read."
        ),
    )

    @property
    def names_domain(self) -> bool:
        """Whether the broad domain is another than the task's own texts."""
        return self.domain is not None or self.domain_target is not None

    @property
    def has_passages(self) -> bool:
        """Whether the broad domain is a file of text without columns."""
        return (self.domain or "").lower().endswith(".txt")

    @field_validator("lora_rates", "full_rates", mode="before")
    @classmethod
    def _several(cls, rates: object) -> object:
        """One rate by itself is a search of one."""
        return (rates,) if isinstance(rates, int | float) else rates

    @field_validator("other_choices", mode="before")
    @classmethod
    def _worded(cls, choices: object) -> object:
        """Read as those of the task itself.

        Raises:
            ConfigError: they are none.
        """
        try:
            return TaskConfig(choices=choices).choices
        except ConfigError as error:
            hint = error.hint.replace("--choices", "--other-choices")
            raise ConfigError(error.message, hint) from error

    @field_validator("methods")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Each method once, in the order given."""
        return tuple(dict.fromkeys(names))

    @field_validator("curve")
    @classmethod
    def _ascending(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Each size once, the smallest first.

        Raises:
            ValueError: a size is below 1.
        """
        if any(size < 1 for size in sizes):
            raise ValueError(_("sizes of a learning curve are whole numbers above 0"))
        return tuple(sorted(set(sizes)))
