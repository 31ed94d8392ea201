"""An artifact as a form: two files and the name that they shall have.

The files go into a fresh folder under names of our own, whatever the client calls them, and the
folder is gone afterwards. What is in them is the registry's matter.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request as HttpRequest
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from softprompt.serving.http.answering import in_thread
from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.service import Service
from softprompt.storage import disk_errors

__all__ = ["FORM", "MOST_IN_MEMORY", "Upload", "uploaded"]

_FILES = {"description": "prompt.json", "tensors": "prompt.safetensors"}
_MOST_DESCRIPTION = 4 << 20
_MOST_ALIASES = 16
_MOST_FIELD = 2000
MOST_IN_MEMORY = 1 << 16
"""Bytes of a field that is no file: those of a file go to the disk, and these do not."""

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", *_FILES],
                    "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 100},
                        "alias": {"type": "array", "items": {"type": "string"}, "maxItems": 16},
                        "description": {
                            "type": "string",
                            "format": "binary",
                            "description": "prompt.json of an artifact.",
                        },
                        "tensors": {
                            "type": "string",
                            "format": "binary",
                            "description": "prompt.safetensors of the same artifact.",
                        },
                    },
                },
                "encoding": {"alias": {"style": "form", "explode": True}},
            }
        },
    }
}
"""The form as the OpenAPI document describes it."""


@dataclass(frozen=True)
class Upload:
    """What came.

    Args:
        name: that it shall have.
        aliases: that shall point to it.
        folder: with both files; gone after the request.
    """

    name: str
    aliases: tuple[str, ...]
    folder: Path


@asynccontextmanager
async def uploaded(http: HttpRequest, service: Service) -> AsyncIterator[Upload]:
    """Reads the form of a request.

    Raises:
        ApiError: 400, it is no such form; 413, it is too large.
        UsageError: there is no room for it.
    """
    form = await _form(http)
    try:
        name, aliases = _texts(form)
        files = {field: _file(form, field) for field in _FILES}
        if (files["description"].size or 0) > _MOST_DESCRIPTION:
            message = f"prompt.json is larger than {_MOST_DESCRIPTION} bytes."
            raise ApiError(413, message, param="description", code="request_too_large")
        folder = await in_thread(service, _write, files)
    finally:
        await form.close()
    try:
        yield Upload(name, aliases, folder)
    finally:
        await in_thread(service, lambda: shutil.rmtree(folder.parent, ignore_errors=True))


async def _form(http: HttpRequest) -> FormData:
    if not http.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        message = "An upload is a form: multipart/form-data with name, description and tensors."
        raise ApiError(400, message, code="invalid_form")
    try:
        return await http.form(
            max_files=len(_FILES),
            max_fields=_MOST_ALIASES + 4,
            max_part_size=MOST_IN_MEMORY,
        )
    except ApiError:
        raise
    except (HTTPException, ValueError, KeyError) as error:
        message = "The form cannot be read; it has the fields name, alias, description and tensors."
        raise ApiError(400, message, code="invalid_form") from error


def _texts(form: FormData) -> tuple[str, tuple[str, ...]]:
    names, aliases = form.getlist("name"), form.getlist("alias")
    texts = [*names, *aliases]
    if len(names) != 1 or len(aliases) > _MOST_ALIASES:
        message = f"The form has one name and at most {_MOST_ALIASES} fields alias."
        raise ApiError(400, message, param="name", code="invalid_form")
    if not all(isinstance(text, str) and len(text) <= _MOST_FIELD for text in texts):
        message = "name and alias are texts, not files."
        raise ApiError(400, message, param="name", code="invalid_form")
    return str(names[0]), tuple(str(alias) for alias in aliases)


def _file(form: FormData, field: str) -> UploadFile:
    files = form.getlist(field)
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        message = f"{field} is missing: the file {_FILES[field]} of an artifact, as one file."
        raise ApiError(400, message, param=field, code="missing_field")
    return files[0]


def _write(files: dict[str, UploadFile]) -> Path:
    parent = Path(tempfile.mkdtemp(prefix="softprompt-upload-"))
    folder = parent / "upload"
    try:
        with disk_errors(folder):
            folder.mkdir()
            for field, file in files.items():
                with (folder / _FILES[field]).open("wb") as place:
                    shutil.copyfileobj(file.file, place, 1 << 20)
    except BaseException:
        shutil.rmtree(parent, ignore_errors=True)
        raise
    return folder
