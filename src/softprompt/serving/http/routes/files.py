"""`/v1/files`: tables to learn from, uploaded, listed, read and deleted.

A key sees its own files only, an administrator's key all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from softprompt.serving.http.errors import ApiError
from softprompt.serving.http.routes import ERRORS
from softprompt.serving.http.schemas.files import FileAnswer, FileDeleted, FileList
from softprompt.serving.http.tuning import file_answer, page, tuner_of
from softprompt.serving.http.uploads import MOST_IN_MEMORY

__all__ = ["router"]

router = APIRouter(tags=["files"], responses=ERRORS)
_PURPOSE = "fine-tune"
_BYTES = "application/octet-stream"
_PIECE = 1 << 17
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JSONL, JSON, CSV, TSV or Parquet.",
                        },
                        "purpose": {"type": "string", "enum": [_PURPOSE]},
                    },
                }
            }
        },
    }
}


@router.post("/v1/files", operation_id="upload_file", openapi_extra=_FORM)
async def upload_file(http: Request) -> FileAnswer:
    """Keeps a file; what is in it is read when a job needs it."""
    tuner = tuner_of(http)
    form = await _form(http)
    try:
        file = _file(form)
        name = file.filename or ""
        stored = await tuner.ask(tuner.jobs.files.add, name, file.file, tuner.viewer)
    finally:
        await form.close()
    return file_answer(stored)


@router.get("/v1/files", operation_id="list_files")
async def list_files(
    http: Request,
    purpose: str | None = None,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
) -> FileList:
    """The caller's files."""
    tuner = tuner_of(http)
    files = await tuner.ask(tuner.jobs.files.all, tuner.viewer)
    if purpose not in (None, _PURPOSE):
        files = []
    if order == "asc":
        files.reverse()
    found, more = page(files, after, limit, lambda file: file.id)
    return FileList(
        data=[file_answer(file) for file in found],
        first_id=found[0].id if found else None,
        last_id=found[-1].id if found else None,
        has_more=more,
    )


@router.get("/v1/files/{file_id}", operation_id="get_file")
async def get_file(http: Request, file_id: str) -> FileAnswer:
    """What is known of one."""
    tuner = tuner_of(http)
    return file_answer(await tuner.ask(tuner.jobs.files.get, file_id, tuner.viewer))


@router.get(
    "/v1/files/{file_id}/content",
    operation_id="get_file_content",
    response_class=Response,
    responses={200: {"content": {_BYTES: {}}}},
)
async def get_file_content(http: Request, file_id: str) -> Response:
    """Its content, byte for byte."""
    tuner = tuner_of(http)
    file = await tuner.ask(tuner.jobs.files.get, file_id, tuner.viewer)
    content = await tuner.ask(tuner.jobs.files.open, file)
    headers = {
        # Never shown as a page, whatever it holds.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "Content-Length": str(file.bytes),
    }
    return StreamingResponse(_pieces(content), media_type=_BYTES, headers=headers)


@router.delete("/v1/files/{file_id}", operation_id="delete_file")
async def delete_file(http: Request, file_id: str) -> FileDeleted:
    """Removes a file that no job needs."""
    tuner = tuner_of(http)
    await tuner.ask(tuner.jobs.delete_file, file_id, tuner.viewer)
    return FileDeleted(id=file_id)


async def _form(http: Request) -> FormData:
    unreadable = ApiError(
        400,
        "An upload is a form: multipart/form-data with the fields file and purpose.",
        code="invalid_form",
    )
    if not http.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise unreadable
    try:
        return await http.form(max_files=1, max_fields=4, max_part_size=MOST_IN_MEMORY)
    except ApiError:
        raise
    except (HTTPException, ValueError, KeyError) as error:
        raise unreadable from error


def _file(form: FormData) -> UploadFile:
    for name in form:
        if name not in ("file", "purpose"):
            message = "The form has the fields file and purpose; files are kept until deleted."
            raise ApiError(400, message, param=name[:60], code="unknown_parameter")
    if form.getlist("purpose") != [_PURPOSE]:
        message = f"purpose is {_PURPOSE}: files are there to learn from."
        raise ApiError(400, message, param="purpose", code="invalid_value")
    files = form.getlist("file")
    if len(files) != 1 or not isinstance(files[0], UploadFile):
        message = "file is missing: one table in JSONL, JSON, CSV, TSV or Parquet."
        raise ApiError(400, message, param="file", code="missing_field")
    return files[0]


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    with content:
        while piece := content.read(_PIECE):
            yield piece
