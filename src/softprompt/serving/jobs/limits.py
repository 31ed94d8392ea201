"""How much tuning a server lets its clients do; every number has a unit."""

from __future__ import annotations

import os

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["JobLimits"]

_SHARE = 0.75
_WITHOUT_FIGURES = 8 << 30


class JobLimits(BaseModel):
    """Limits of files, of the queue, and of a training process."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    at_once: int = Field(1, ge=1, description="Jobs that train side by side.")
    waiting: int = Field(100, ge=0, description="Jobs that may wait, of all keys together.")
    waiting_each: int = Field(20, ge=0, description="Jobs of one key that may wait.")
    resumable_each: int = Field(
        20, ge=1, description="Jobs of one key that ended without a prompt and keep their state."
    )
    ended_each: int = Field(
        1000, ge=1, description="Jobs of one key that ended without a prompt and are listed."
    )
    seconds: float = Field(6 * 3600.0, gt=0, description="Seconds that a job may train.")
    grace_seconds: float = Field(
        60.0, ge=0, description="Seconds to save its state in, for a job that is stopped."
    )
    memory_bytes: int | None = Field(
        None, ge=1, description="Memory of a job; not given: three quarters of the machine's."
    )
    nice: int = Field(10, ge=0, le=19, description="How far a job stands back behind others.")
    threads: int | None = Field(
        None, ge=1, description="Processor threads of a job; not given: half of the processors."
    )
    files_each: int = Field(500, ge=1, description="Files of one key.")
    storage_bytes: int = Field(10 << 30, ge=1, description="Bytes of all files together.")

    @property
    def memory(self) -> int:
        """Bytes that a job may take."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        try:
            whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return _WITHOUT_FIGURES
        return int(_SHARE * whole)

    @property
    def processors(self) -> int:
        """Threads that a job takes."""
        return self.threads or max(1, (os.cpu_count() or 1) // 2)
