"""API keys: made once, shown once, kept as digests in one JSON file.

A key is `sp_ID_SECRET` with a secret of 256 random bits. Nothing that has so many bits can be
guessed from its SHA-256, so no slow hash is needed and a request costs microseconds: slow hashes
are for passwords that people choose (docs/decisions/0012). The ID finds the entry, and the digest
is compared in constant time. It does not know HTTP.
"""

from __future__ import annotations

import hmac
import secrets
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from softprompt.errors import ConfigError, UsageError, nearest
from softprompt.storage import disk_errors, sha256, write_json

__all__ = ["SCOPES", "Key", "Keys", "Scope"]

Scope = Literal["infer", "tune", "admin"]
SCOPES: tuple[Scope, ...] = ("infer", "tune", "admin")
_PREFIX = "sp"
# How long a revoked key may still work.
_SECONDS_BETWEEN_LOOKS = 1.0


class Key(BaseModel):
    """What is known of a key; its secret is not."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str = Field(min_length=1, max_length=100, description="Whose it is, for people.")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the whole key.")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    prompts: tuple[str, ...] | None = Field(
        None, description="Names it may ask for, `*` for any part of one; None for all."
    )
    per_minute: float | None = Field(None, gt=0, description="Answers a minute; None for no limit.")
    burst: int | None = Field(None, ge=1, description="Answers at once; per_minute if not given.")
    created: str
    revoked: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether it was given a scope; `admin` alone does not include the others."""
        return scope in self.scopes

    def may_use(self, name: str) -> bool:
        """Whether a prompt or the base model may be asked for, by its name without version.

        Letters with accents count as one however they are written, as they do where prompts are
        found: `cafe*` would else let in who writes the end of `café` as a letter and an accent.
        """
        return self.prompts is None or any(
            fnmatchcase(_one_way(name), _one_way(wanted)) for wanted in self.prompts
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    keys: list[Key] = Field(default_factory=list)


class Keys:
    """The keys of a file, read again when it changes.

    A file that cannot be read lets nobody in.

    Args:
        path: of the JSON file; may not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = Lock()
        self._looked = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._by_id: dict[str, Key] = {}

    def find(self, text: str) -> Key | None:
        """The key that a client shows, or None where there is none or it was revoked."""
        parts = text.split("_", 2)
        known = self._current().get(parts[1]) if len(parts) == 3 and parts[0] == _PREFIX else None
        digest = sha256(text.encode("utf-8", "replace"))
        # An unknown ID takes the same steps as a known one.
        same = hmac.compare_digest(digest, known.digest if known else "0" * 64)
        return known if known is not None and same and known.revoked is None else None

    def all(self) -> list[Key]:
        """All keys, revoked ones too, oldest first.

        Raises:
            ConfigError: the file is damaged.
        """
        return _read(self.path).keys

    @property
    def usable(self) -> bool:
        """Whether anybody could be let in."""
        return any(key.revoked is None for key in self._current().values())

    def add(
        self,
        name: str,
        *,
        scopes: Sequence[str] = ("infer",),
        prompts: Sequence[str] | None = None,
        per_minute: float | None = None,
        burst: int | None = None,
    ) -> tuple[Key, str]:
        """Makes a key.

        Returns:
            What is kept, and the key itself, which nobody can show again.

        Raises:
            UsageError: a scope is unknown, a value out of its range, or the file not writable.
        """
        for scope in scopes:
            if scope not in SCOPES:
                raise UsageError(f"There is no scope {scope!r}.", nearest(scope, SCOPES))
        key_id = secrets.token_hex(6)
        text = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
        try:
            key = Key.model_validate(
                {
                    "id": key_id,
                    "name": name,
                    "digest": sha256(text.encode()),
                    "scopes": tuple(dict.fromkeys(scopes)),
                    "prompts": None if prompts is None else tuple(prompts),
                    "per_minute": per_minute,
                    "burst": burst,
                    "created": _now(),
                }
            )
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(f"{field} of a key: {first['msg']}.", "Give another value.") from error
        with _alone(self.path):
            kept = _read(self.path)
            kept.keys.append(key)
            _write(self.path, kept)
        return key, text

    def revoke(self, key_id: str) -> Key:
        """Ends a key; a running server notices within a second.

        Raises:
            UsageError: there is none with this ID, or it has ended already.
        """
        with _alone(self.path):
            kept = _read(self.path)
            places = {key.id: place for place, key in enumerate(kept.keys) if not key.revoked}
            if key_id not in places:
                raise UsageError(f"There is no key {key_id!r} in use.", nearest(key_id, places))
            revoked = kept.keys[places[key_id]].model_copy(update={"revoked": _now()})
            kept.keys[places[key_id]] = revoked
            _write(self.path, kept)
        return revoked

    def _current(self) -> dict[str, Key]:
        """Keys by ID, as the file says now."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked < _SECONDS_BETWEEN_LOOKS:
                return self._by_id
            self._looked = now
            try:
                found = self.path.stat()
                stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
                if stamp != self._stamp:
                    self._by_id = {key.id: key for key in _read(self.path).keys}
                    self._stamp = stamp
            except (OSError, ConfigError):
                self._by_id, self._stamp = {}, None
            return self._by_id


def _one_way(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _File()
    except (ValidationError, OSError) as error:
        raise ConfigError(
            f"{path} is not a file of keys, or is damaged.",
            "Name another file, or restore it from a copy.",
        ) from error


def _write(path: Path, kept: _File) -> None:
    write_json(path, kept.model_dump(mode="json"))
    with disk_errors(path):
        path.chmod(0o600)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keeps two commands from writing over each other's keys."""
    lock = path.with_name(f".{path.name}.lock")
    with disk_errors(path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    with file:
        try:
            import fcntl
        except ImportError:  # not on Windows, where one person makes keys at a time
            yield
            return
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
