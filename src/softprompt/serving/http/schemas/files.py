"""`/v1/files`: uploaded tables as OpenAI's API shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from softprompt.serving.http.schemas.shared import Out

__all__ = ["FileAnswer", "FileDeleted", "FileList"]


class FileAnswer(Out):
    """A file."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: Literal["fine-tune"] = "fine-tune"
    status: Literal["processed"] = "processed"
    status_details: str | None = None


class FileList(Out):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileAnswer]
    first_id: str | None
    last_id: str | None
    has_more: bool = Field(description="Whether `after=LAST_ID` finds more.")


class FileDeleted(Out):
    """A file that is no more."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True
