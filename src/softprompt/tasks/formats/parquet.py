"""Parquet, through pyarrow."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from softprompt.errors import DataError
from softprompt.locale import _
from softprompt.storage import sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.table import READERS, Table, file_bytes, make_table, named_classes

__all__ = ["read_parquet"]


@READERS.register(".parquet")
def read_parquet(source: str, config: TaskConfig) -> Table:
    """Reads a Parquet file; class numbers that a Hugging Face schema names become the names.

    Raises:
        DataError: the file is damaged, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            _("Reading {source} takes pyarrow, which is not installed.").format(source=source),
            _("Install it: pip install 'softprompt[data]'."),
        ) from error
    content = file_bytes(source)
    name = Path(source).name
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            _("{file} is no Parquet file that can be read: {reason}").format(
                file=name, reason=cause
            ),
            _("Write the file again."),
        ) from error
    records: Sequence[Mapping[str, object]] = table.to_pylist()
    for column, names in _class_names(table.schema.metadata or {}).items():
        records = named_classes(records, column, names)
    return make_table(name, records, sha256(content))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes by column, where the `datasets` library wrote the file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
