"""The four choices that make a soft prompt, and what goes with them."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PromptConfig"]


class PromptConfig(BaseModel):
    """Placement, depth, parametrisation and initialisation of a soft prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    placement: str = Field(
        "suffix",
        description="`suffix` (before the answer), `prefix` (after BOS), `front` (before BOS), "
        "`both` (half after BOS, half before the answer) or `slots` (where the template says "
        "{prompt:N}; chosen by itself when it does).",
    )
    depth: str = Field(
        "input",
        description="Where vectors enter: among the `input` embeddings, or `deep`: fresh ones at "
        "every layer, or `kv`: keys and values at every layer.",
    )
    parametrisation: str = Field(
        "direct",
        description="`direct` vectors, `residual` (plus a small network of them), `encoder` or "
        "`encoder_lstm` (a network emits them), `superposition` (mixes of vocabulary embeddings) "
        "or `low_rank`.",
    )
    initialisation: str = Field(
        "auto",
        description="`labels`, `keywords`, `vocabulary`, `random`, `text` or `prompt`; `auto` is "
        "`labels` for answer choices and `vocabulary` for free text.",
    )
    length: int = Field(16, ge=1, le=512, description="Vectors of the prompt; 8 to 32 suit most.")
    text: str | None = Field(None, description="Text that the initialisation `text` starts from.")
    start: str | None = Field(
        None, description="Folder of the prompt that the initialisation `prompt` starts from."
    )
