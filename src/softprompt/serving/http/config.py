"""Where the server listens and what it allows; every number has a unit.

It does not know the keys, which are a file of their own.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from softprompt.errors import UsageError

__all__ = ["ServerConfig"]


class ServerConfig(BaseModel):
    """Settings of the HTTP server."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one.")
    origins: tuple[str, ...] = Field(
        (), description="Web origins whose pages may call, beside those of the loopback."
    )
    max_body_bytes: int = Field(1 << 20, ge=1024, description="Largest request, in bytes.")
    max_upload_bytes: int = Field(64 << 20, ge=1024, description="Largest upload, in bytes.")
    max_text: int = Field(200_000, ge=1, description="Longest text of a request, in characters.")
    max_batch: int = Field(64, ge=1, description="Most answers that one request asks for.")
    max_open: int = Field(1024, ge=1, description="Most requests that are open at once.")
    deadline: float = Field(60.0, gt=0, description="Seconds for an answer if none are given.")
    max_deadline: float = Field(600.0, gt=0, description="Most seconds a request may ask for.")
    body_seconds: float = Field(30.0, gt=0, description="Seconds to wait for a part of a body.")
    drain_seconds: float = Field(
        30.0, ge=0, description="Seconds that running requests get at the end."
    )
    drain_delay: float = Field(
        0.0, ge=0, description="Seconds of failing /ready before the server stops to listen."
    )
    prompt_labels: int = Field(
        50, ge=0, description="Prompts with figures of their own in /metrics; the rest is `other`."
    )
    log_contents: bool = Field(False, description="Write texts and answers to the access log.")

    @field_validator("origins")
    @classmethod
    def _as_browsers_send_them(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin.rstrip("/") for origin in origins)

    @model_validator(mode="after")
    def _deadlines_fit(self) -> ServerConfig:
        if self.deadline > self.max_deadline:
            raise UsageError(
                f"The deadline of {self.deadline:g} s is above the most, {self.max_deadline:g} s.",
                "Raise max_deadline as well.",
            )
        return self
