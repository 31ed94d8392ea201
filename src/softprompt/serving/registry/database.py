"""Connecting to the database of an index: addresses, drivers, and how each kind is set up.

It does not know the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError
from sqlalchemy.pool import NullPool, StaticPool

from softprompt.errors import UsageError

__all__ = ["MEMORY", "address", "check_sound", "connect", "sqlite_file"]

MEMORY = "sqlite://"
"""A database that ends with its process."""

_CONNECT_SECONDS, _STATEMENT_SECONDS = 3, 20


def address(url: str) -> URL:
    """The address of a database; PostgreSQL is reached by psycopg unless it says otherwise.

    Raises:
        UsageError: it is none, or of a kind that is not tested.
    """
    try:
        found = make_url(url)
    except ArgumentError as error:
        # The text is not shown: a password may stand in it.
        raise UsageError(
            "The address of the index is none.",
            "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE.",
        ) from error
    kind = found.get_backend_name()
    if kind not in ("sqlite", "postgresql", "postgres"):
        raise UsageError(
            f"The index cannot be kept in {kind}.", "Use sqlite:///FILE or postgresql://..."
        )
    if found.drivername in ("postgresql", "postgres"):
        found = found.set(drivername="postgresql+psycopg")
    return found


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database; None of any other."""
    named = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if named else None


def connect(url: URL) -> Engine:
    """An engine for a database; nothing is opened yet.

    Raises:
        UsageError: the driver is not installed.
    """
    setups: dict[str, Callable[[URL], Engine]] = {"sqlite": _sqlite, "postgresql": _postgresql}
    try:
        return setups[url.get_backend_name()](url)
    except (ImportError, NoSuchModuleError) as error:
        raise UsageError(
            f"The index in {url.get_backend_name()} takes a driver that is not installed.",
            "Run: pip install 'softprompt[postgres]'",
        ) from error


def _sqlite(url: URL) -> Engine:
    file = sqlite_file(url)
    # A file is opened anew each time, so one that was removed or replaced is noticed at once.
    engine = create_engine(
        url,
        poolclass=StaticPool if file is None else NullPool,
        connect_args={"check_same_thread": False, "timeout": 10},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # Losing the last changes at a power cut costs nothing: they come from the folder again.
        connection.execute("PRAGMA synchronous=OFF")

    return engine


def _postgresql(url: URL) -> Engine:
    arguments: dict[str, Any] = {"options": f"-c statement_timeout={_STATEMENT_SECONDS}s"}
    if "connect_timeout" not in url.query:
        arguments["connect_timeout"] = _CONNECT_SECONDS
    return create_engine(
        url, pool_size=2, max_overflow=2, pool_pre_ping=True, connect_args=arguments
    )


def check_sound(engine: Engine) -> None:
    """Reads a SQLite file through once; other databases see to themselves.

    Raises:
        DatabaseError: it is damaged.
    """
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
    if found != "ok":
        told = f"the file is damaged: {found}"
        raise DatabaseError(told, None, ValueError(told))
