"""The index of a registry in a database: SQLite or PostgreSQL, through SQLAlchemy.

It makes a start fast and lists short: states of names, so that not every artifact has to be read
again, and rows to filter by tag and to sort by metric. All of it comes from the folder, so every
answer may be old, and whoever asks can go on without it: errors of the database come out as
SQLAlchemy raises them. It does not read folders.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import URL, Connection, and_, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from softprompt.serving.registry.database import check_sound, connect, sqlite_file
from softprompt.serving.registry.migrations import migrate
from softprompt.serving.registry.state import LOOSE, State, Stored
from softprompt.serving.registry.tables import FOLDERS, METADATA, METRICS, PROMPTS, TAGS, VERSIONS
from softprompt.serving.registry.watchdog import Watchdog
from softprompt.storage import canonical_json, sha256

__all__ = ["Fit", "Index", "Row"]

T = TypeVar("T")

Details = Callable[[State, Stored], Mapping[str, Any] | None]
"""What a list shows of a version, read from the folder; None where it cannot be read."""

_MOST_NAMES = 400
"""Names in one statement; SQLite takes no more than 999 variables."""
_LONGEST = 200


class Row(NamedTuple):
    """A version as the index has it; `details` are empty where they were damaged."""

    name: str
    number: int
    key: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Fit:
    """What a version has to agree with to be served.

    Args:
        weights, tokenizer: fingerprints of the backbone.
        widths: numbers of a vector by depth; empty where they are not known.
    """

    weights: str
    tokenizer: str
    widths: Mapping[str, int]

    def accepts(self, weights: str, tokenizer: str, depth: str, width: int) -> bool:
        """Whether an artifact agrees; an unknown fingerprint ("") agrees with any."""
        return (
            weights in ("", self.weights)
            and tokenizer in ("", self.tokenizer)
            and (not self.widths or self.widths.get(depth) == width)
        )


class Index:
    """The rows of one folder in a database.

    Args:
        url: of the database.
        uid: what names the folder, wherever it is mounted.

    Raises:
        UsageError: a driver is not installed.
        SQLAlchemyError: the database is not there, damaged, or newer than this release.
    """

    def __init__(self, url: URL, uid: str) -> None:
        self.url = url
        self._lock = RLock()
        self._engine = connect(url)
        self._watchdog = Watchdog(self._engine)
        try:
            check_sound(self._engine)
            with self._watchdog.watching(), self._engine.begin() as connection:
                if sqlite_file(url) is None and self._engine.dialect.name == "sqlite":
                    METADATA.create_all(connection)  # in memory there is nothing to migrate
                else:
                    migrate(connection)
            self._folder = self._own_row(uid)
        except BaseException:
            self._engine.dispose()
            raise

    def states(self) -> dict[str, State]:
        """The states as they were written last; one that was changed since is left out."""
        query = select(PROMPTS.c.name, PROMPTS.c.state, PROMPTS.c.digest).where(
            PROMPTS.c.folder == self._folder
        )
        found = {}
        with self._lock, self._watchdog.watching(), self._engine.connect() as connection:
            for name, state, digest in connection.execute(query):
                if sha256(state.encode()) != digest:
                    continue
                # Another release may have written it.
                with suppress(KeyError, TypeError, ValueError):
                    found[name] = State.from_json(name, json.loads(state))
        return found

    def write(self, states: Sequence[State], removed: Sequence[str], details: Details) -> None:
        """Brings the rows of some names up to date, all or none.

        Args:
            states: as they are now.
            removed: names that are gone.
            details: asked about versions that the index does not know.
        """
        with (
            self._lock,
            self._watchdog.watching() as answered,
            self._engine.begin() as connection,
        ):
            # The first statement locks the folder's row, so writers wait for one another.
            connection.execute(
                update(FOLDERS).where(FOLDERS.c.id == self._folder).values(changed=time.time())
            )
            for part in _parts(states):
                known = self._known(connection, [state.name for state in part])
                self._forget(connection, [state.name for state in part])
                self._insert(connection, part, known, details)
                answered()
            for names in _parts(removed):
                self._forget(connection, names)
                answered()

    def rows(
        self,
        *,
        tags: Mapping[str, str | None],
        sort: str,
        fit: Fit | None,
        servable: bool,
        limit: int | None,
        offset: int,
    ) -> list[Row]:
        """The current version of each name.

        Args:
            tags: that a name must have, with this value or, at None, with any.
            sort: `name`, `created` (the newest first) or a metric (the highest first).
            fit: what a version has to agree with to be servable.
            servable: leave out what cannot be served.
            limit, offset: how many, and how many are passed over before.
        """
        mine = VERSIONS.c.folder == self._folder
        query = select(
            VERSIONS.c.name, VERSIONS.c.number, VERSIONS.c.key, VERSIONS.c.details
        ).where(mine, VERSIONS.c.current)
        for tag, value in tags.items():
            query = query.where(_has_tag(tag, value))
        if servable:
            query = query.where(VERSIONS.c.problem == "", *_fits(fit))
        if sort == "created":
            query = query.order_by(VERSIONS.c.created.desc())
        elif sort != "name":
            same = and_(
                METRICS.c.folder == VERSIONS.c.folder,
                METRICS.c.name == VERSIONS.c.name,
                METRICS.c.number == VERSIONS.c.number,
                METRICS.c.metric == sort,
            )
            query = query.outerjoin(METRICS, same).order_by(METRICS.c.value.desc().nulls_last())
        query = query.order_by(VERSIONS.c.name).limit(limit).offset(offset or None)
        with self._lock, self._watchdog.watching(), self._engine.connect() as connection:
            return [Row(*row[:3], _read(row[3])) for row in connection.execute(query)]

    def close(self) -> None:
        """Ends the connections."""
        self._engine.dispose()

    def _own_row(self, uid: str) -> int:
        """The row of this folder; of two that make it at once, the first one's."""
        query = select(FOLDERS.c.id).where(FOLDERS.c.uid == uid)
        for last in (False, True):
            try:
                with self._watchdog.watching(), self._engine.begin() as connection:
                    found = connection.execute(query).scalar()
                    if found is None:
                        values = {"uid": uid, "changed": time.time()}
                        connection.execute(insert(FOLDERS).values(**values))
                        found = connection.execute(query).scalar_one()
                    return int(found)
            except IntegrityError:
                if last:
                    raise
        raise AssertionError("not reached")

    def _known(self, connection: Connection, names: Sequence[str]) -> dict[tuple[str, int], Row]:
        query = select(
            VERSIONS.c.name, VERSIONS.c.number, VERSIONS.c.key, VERSIONS.c.details
        ).where(VERSIONS.c.folder == self._folder, VERSIONS.c.name.in_(names))
        found = connection.execute(query)
        return {(row[0], row[1]): Row(*row[:3], _read(row[3])) for row in found}

    def _forget(self, connection: Connection, names: Sequence[str]) -> None:
        for table in (PROMPTS, VERSIONS, TAGS, METRICS):
            mine = and_(table.c.folder == self._folder, table.c.name.in_(names))
            connection.execute(delete(table).where(mine))

    def _insert(
        self,
        connection: Connection,
        states: Sequence[State],
        known: Mapping[tuple[str, int], Row],
        details: Details,
    ) -> None:
        prompts, versions, tags, metrics = [], [], [], []
        for state in states:
            own = {"folder": self._folder, "name": state.name}
            content = canonical_json(state.as_json())
            prompts.append({**own, "state": content, "digest": sha256(content.encode())})
            named = {_text(t)[:_LONGEST]: _text(v) for t, v in state.record.tags.items()}
            tags += [{**own, "tag": tag, "value": value} for tag, value in named.items()]
            for stored in state.versions:
                row = known.get((state.name, stored.number))
                if row and row.details and stored.facts and row.key == stored.facts.key:
                    shown = row.details
                else:
                    shown = (details(state, stored) if stored.facts else None) or {}
                versions.append({**own, **_version(state, stored, shown)})
                numbers = _numbers(shown.get("metrics", {}))
                metrics += [
                    {**own, "number": stored.number, "metric": metric, "value": value}
                    for metric, value in numbers.items()
                ]
        for table, rows in zip(
            (PROMPTS, VERSIONS, TAGS, METRICS), (prompts, versions, tags, metrics), strict=True
        ):
            if rows:
                connection.execute(insert(table), rows)


def _version(state: State, stored: Stored, shown: Mapping[str, Any]) -> dict[str, Any]:
    facts = stored.facts
    lone = not state.by_number and stored.number == LOOSE
    return {
        "number": stored.number,
        "key": facts.key if facts else "",
        "current": lone or stored.number == state.record.current,
        "problem": _text(stored.problem or state.problem),
        "depth": facts.depth if facts else "",
        "width": facts.width if facts else 0,
        "weights": _text(facts.weights) if facts else "",
        "tokenizer": _text(facts.tokenizer) if facts else "",
        "created": float(shown.get("created", 0.0)),
        "details": json.dumps(shown),
    }


def _read(details: str) -> Mapping[str, Any]:
    """Details as they were written; {} where the database has changed them."""
    try:
        value = json.loads(details)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics that can be sorted by, as `test.accuracy`."""
    found = {}
    for split, measures in metrics.items():
        for measure, value in measures.items() if isinstance(measures, Mapping) else ():
            name = f"{split}.{measure}"
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and abs(value) < 1e300 and math.isfinite(value):
                found[_text(name)[:_LONGEST]] = float(value)
    return found


def _text(text: str) -> str:
    """What every database takes: PostgreSQL refuses the character 0, and none takes half ones."""
    return text.replace("\0", "?").encode("utf-8", "replace").decode()


def _has_tag(tag: str, value: str | None) -> Any:
    same = [
        TAGS.c.folder == VERSIONS.c.folder,
        TAGS.c.name == VERSIONS.c.name,
        TAGS.c.tag == tag,
    ]
    return exists().where(*same, *([] if value is None else [TAGS.c.value == value]))


def _fits(fit: Fit | None) -> list[Any]:
    if fit is None:
        return []
    columns = VERSIONS.c
    conditions: list[Any] = [
        columns.weights.in_(("", fit.weights)),
        columns.tokenizer.in_(("", fit.tokenizer)),
    ]
    if fit.widths:
        pairs = [and_(columns.depth == d, columns.width == w) for d, w in fit.widths.items()]
        conditions.append(or_(*pairs))
    return conditions


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _MOST_NAMES):
        yield items[start : start + _MOST_NAMES]
