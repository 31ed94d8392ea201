"""What Alembic runs to take the steps; the connection comes from `migrate`."""

from __future__ import annotations

from alembic import context

from softprompt.serving.registry.tables import METADATA, VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
)
context.run_migrations()
