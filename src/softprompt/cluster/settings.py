"""What all replicas have in common; every number has a unit."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ReplicaSettings"]


class ReplicaSettings(BaseModel):
    """Settings of replicas."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = Field("nano", description="`nano`, a folder, or a Hugging Face Hub id.")
    prompts: str = Field(description="Folder of prompts, the same on every machine.")
    database: str | None = Field(None, description="Database for the index of prompts.")
    dtype: str = Field("auto", description="Precision of the model.")
    device: str = Field("auto", description="Where each replica computes.")
    replicas: int = Field(2, ge=1, le=10_000, description="Processes with a model each.")
    cpus: float = Field(1.0, gt=0, description="Cores that a replica takes.")
    gpus: float = Field(0.0, ge=0, description="GPUs that a replica takes.")
    max_ongoing: int = Field(
        256, ge=1, description="Requests at a replica; what is beyond goes to another one."
    )
    max_rows: int = Field(64, ge=1, description="Rows computed side by side in a replica.")
    start_seconds: float = Field(600.0, gt=0, description="Seconds for all replicas to load.")
