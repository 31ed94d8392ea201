"""The first tables: folders, states of prompts, versions, tags, metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


def _owner() -> sa.Column[int]:
    return sa.Column(
        "folder",
        sa.Integer,
        sa.ForeignKey("softprompt_folders.id", ondelete="CASCADE"),
        primary_key=True,
    )


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "softprompt_folders",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uid", sa.String(64), nullable=False, unique=True),
        sa.Column("changed", sa.Float, nullable=False),
    )
    op.create_table(
        "softprompt_prompts",
        _owner(),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_table(
        "softprompt_versions",
        _owner(),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("depth", sa.String(40), nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("weights", sa.String(64), nullable=False),
        sa.Column("tokenizer", sa.String(64), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_table(
        "softprompt_tags",
        _owner(),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("tag", NAME, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_index("softprompt_tags_by_tag", "softprompt_tags", ["folder", "tag"])
    op.create_table(
        "softprompt_metrics",
        _owner(),
        sa.Column("name", NAME, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("metric", sa.String(200), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )
    op.create_index(
        "softprompt_metrics_by_value", "softprompt_metrics", ["folder", "metric", "value"]
    )


def downgrade() -> None:
    """Drops the tables; nothing is lost, since all of it comes from the folder."""
    for name in ("metrics", "tags", "versions", "prompts", "folders"):
        op.drop_table(f"softprompt_{name}")
