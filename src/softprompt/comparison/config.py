"""What is compared, and what each side may spend on finding its learning rate."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CompareConfig"]


class CompareConfig(BaseModel):
    """A comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: tuple[str, ...] = Field(
        ("majority", "zero_shot", "few_shot", "soft_prompt", "lora", "full"),
        description="What is measured, the cheapest first.",
    )
    lora_rates: tuple[float, ...] = Field(
        (3e-4, 1e-3, 3e-3), min_length=1, description="Peak rates that LoRA chooses among."
    )
    lora_rank: int = Field(8, ge=1, description="Rank of LoRA's matrices, on every linear layer.")
    full_rates: tuple[float, ...] = Field(
        (1e-4, 3e-4, 1e-3), min_length=1, description="Peak rates of full fine-tuning."
    )
    search_epochs: int = Field(
        2, ge=1, description="Passes that each rate gets before one is chosen on validation rows."
    )
    epochs: int = Field(4, ge=1, description="Passes of LoRA and of full fine-tuning.")
