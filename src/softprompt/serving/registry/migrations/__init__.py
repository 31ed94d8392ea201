"""Brings the tables of a database to the present form.

Alembic does it, one file a step below `versions/`; it is only loaded where a step is missing. A
database that a newer release has been at is left alone.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, column, inspect, select, table, text
from sqlalchemy.exc import DatabaseError

from softprompt.serving.registry.tables import VERSION_TABLE

__all__ = ["HEAD", "NewerDatabaseError", "migrate"]

HEAD = "0001"
"""The latest step."""

_MIGRATING = Lock()
_LOCK = 0x736F6674  # a number that others are unlikely to lock by


class NewerDatabaseError(DatabaseError):
    """A newer release has changed the tables; this one does not know them."""


def migrate(connection: Connection) -> None:
    """Takes the steps that a database lacks, one process at a time.

    Args:
        connection: within a transaction, that the caller ends.

    Raises:
        NewerDatabaseError: the tables are newer than this release.
        SQLAlchemyError: the database refuses.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if _version(connection) == HEAD:
        return
    # Alembic keeps what it works on in globals, so threads take turns as well.
    with _MIGRATING:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    """The same where nobody else migrates this database."""
    found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        told = f"the tables are of version {found}, and this release knows {HEAD}"
        raise NewerDatabaseError(told, None, ValueError(told))
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseError("the tables cannot be migrated", None, error) from error


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    known = table(VERSION_TABLE, column("version_num"))
    return connection.execute(select(known.c.version_num)).scalar()
