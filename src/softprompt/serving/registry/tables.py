"""The tables of the index. What a migration changes is changed here as well; a test compares them.

They hold nothing that the folder does not: states to start from without reading every artifact, and
rows to filter and sort. They do not know who fills them.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = ["FOLDERS", "METADATA", "METRICS", "PROMPTS", "TAGS", "VERSIONS", "VERSION_TABLE"]

VERSION_TABLE = "softprompt_version"
"""Where the state of the migrations is kept; a database may be shared with others."""

METADATA = MetaData()

# Names sort by code point everywhere, as Python sorts them.
NAME = String(200).with_variant(String(200, collation="C"), "postgresql")


def _owner() -> Column[int]:
    return Column(
        "folder",
        Integer,
        ForeignKey("softprompt_folders.id", ondelete="CASCADE"),
        primary_key=True,
    )


FOLDERS = Table(
    "softprompt_folders",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("changed", Float, nullable=False),
)
PROMPTS = Table(
    "softprompt_prompts",
    METADATA,
    _owner(),
    Column("name", NAME, primary_key=True),
    Column("state", Text, nullable=False),
    Column("digest", String(64), nullable=False),
)
VERSIONS = Table(
    "softprompt_versions",
    METADATA,
    _owner(),
    Column("name", NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("current", Boolean, nullable=False),
    Column("problem", Text, nullable=False),
    Column("depth", String(40), nullable=False),
    Column("width", Integer, nullable=False),
    Column("weights", String(64), nullable=False),
    Column("tokenizer", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("details", Text, nullable=False),
)
TAGS = Table(
    "softprompt_tags",
    METADATA,
    _owner(),
    Column("name", NAME, primary_key=True),
    Column("tag", NAME, primary_key=True),
    Column("value", Text, nullable=False),
    Index("softprompt_tags_by_tag", "folder", "tag"),
)
METRICS = Table(
    "softprompt_metrics",
    METADATA,
    _owner(),
    Column("name", NAME, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("metric", String(200), primary_key=True),
    Column("value", Float, nullable=False),
    Index("softprompt_metrics_by_value", "folder", "metric", "value"),
)
