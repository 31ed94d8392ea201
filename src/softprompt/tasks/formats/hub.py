"""Data sets of the Hugging Face Hub, through the `datasets` library.

hf:OWNER/NAME            the train split
hf:OWNER/NAME:SPLIT      another split, or a part of one ("train[:1000]")
hf:OWNER/NAME/CONFIG     one of the data set's configurations
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from softprompt.errors import DataError
from softprompt.locale import _
from softprompt.storage import sha256
from softprompt.tasks.config import TaskConfig
from softprompt.tasks.table import READERS, Table, make_table, named_classes
from softprompt.tasks.text import as_text

__all__ = ["read_hub"]


@READERS.register("hf:")
def read_hub(source: str, config: TaskConfig) -> Table:
    """Reads one split of a data set; class numbers become the names that the data set gives them.

    The digest is that of the records' text, since the data set may lie in any number of files.

    Raises:
        DataError: the data set cannot be had (the library's own reason is named), or `datasets` is
            not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            _("Reading {source} takes the datasets library, which is not installed.").format(
                source=source
            ),
            _("Install it: pip install 'softprompt[data]'."),
        ) from error
    name, configuration, split = _address(source, config)
    try:
        data = datasets.load_dataset(name, configuration, split=split)
    except Exception as error:  # the library lets through whatever a network or a file raises
        cause = str(error).strip().splitlines()
        raise DataError(
            _("Cannot load {source}, split {split!r}: {reason}").format(
                source=source, split=split, reason=cause[0] if cause else type(error).__name__
            ),
            _("Check the name (hf:OWNER/NAME:SPLIT) and the network, or name a file."),
        ) from error
    records: Sequence[Mapping[str, object]] = [dict(record) for record in data]
    for column, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel):
            records = named_classes(records, column, feature.names)
    texts = "\x1e".join("\x1f".join(as_text(value) for value in row.values()) for row in records)
    return make_table(f"{source.partition(':')[2]}", records, sha256(texts.encode()))


def _address(source: str, config: TaskConfig) -> tuple[str, str | None, str]:
    name, _colon, split = source.removeprefix("hf:").partition(":")
    parts = name.strip("/").split("/")
    if not parts[0] or len(parts) > 3:
        raise DataError(
            _("{source!r} names no data set of the hub.").format(source=source),
            _("Write hf:OWNER/NAME or hf:OWNER/NAME:SPLIT."),
        )
    configuration = parts[2] if len(parts) == 3 else None
    return "/".join(parts[:2]), configuration, split or config.split or "train"
