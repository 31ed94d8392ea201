"""Keys: shown once, kept as digests, read again when the file changes."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from softprompt.errors import ConfigError, UsageError
from softprompt.serving import keys as module
from softprompt.serving.keys import Keys


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.0)


def test_a_key_is_found_and_its_secret_is_not_kept(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    key, text = keys.add("ci", scopes=("infer", "admin"), prompts=("a", "team-*"), per_minute=60)
    assert keys.find(text) == key
    assert (key.may("infer"), key.may("admin"), key.may("tune")) == (True, True, False)
    names = ("a", "team-b", "b", "A", "a2")
    assert [key.may_use(name) for name in names] == [True, True, False, False, False]
    secret = text.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in keys.path.read_text()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600


def test_what_is_not_a_key_is_not_found(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    key, text = keys.add("ci")
    wrong = ["", "sp", "sp__", "xx" + text[2:], text[:-1], text + "a", text.upper(), "sp_\ud800_x"]
    wrong += [
        f"sp_{key.id}_",
        f"sp_{key.id}_{key.digest}",
        key.digest,
        "Bearer " + text,
        text + "\n",
    ]
    assert [keys.find(one) for one in wrong] == [None] * len(wrong)


def test_a_revoked_key_ends_at_once_in_another_reader(tmp_path: Path) -> None:
    server, operator = Keys(tmp_path / "keys.json"), Keys(tmp_path / "keys.json")
    assert not server.usable
    key, text = operator.add("ci")
    assert server.find(text) is not None
    assert operator.revoke(key.id).revoked is not None
    assert server.find(text) is None
    assert not server.usable
    assert [one.id for one in server.all()] == [key.id], "what was revoked is still listed"
    with pytest.raises(UsageError, match="There is no key"):
        operator.revoke(key.id)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "keys": []}', '{"keys": [{}]}'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, content: str) -> None:
    keys = Keys(tmp_path / "keys.json")
    _, text = keys.add("ci")
    assert keys.find(text) is not None
    keys.path.write_text(content)
    assert keys.find(text) is None
    with pytest.raises(ConfigError, match="damaged"):
        keys.add("other")
    assert keys.path.read_text() == content, "what is damaged is not written over"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scopes": ("infer", "root")}, "There is no scope 'root'"),
        ({"scopes": ()}, "scopes"),
        ({"per_minute": 0}, "per_minute"),
        ({"per_minute": float("nan")}, "per_minute"),
        ({"burst": 0}, "burst"),
    ],
)
def test_what_a_key_cannot_be(tmp_path: Path, settings: dict[str, object], told: str) -> None:
    keys = Keys(tmp_path / "keys.json")
    with pytest.raises(UsageError, match=told):
        keys.add("ci", **settings)  # type: ignore[arg-type]
    assert not keys.path.exists()


def test_keys_made_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def make(number: int) -> str:
        return Keys(tmp_path / "keys.json").add(f"k{number}")[0].id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(make, range(24)))
    assert {key["id"] for key in json.loads((tmp_path / "keys.json").read_text())["keys"]} == made


@pytest.mark.parametrize(
    ("allowed", "name", "may"),
    [
        ("cafe*", "cafe-x", True),
        ("cafe*", "caf\u00e9", False),
        ("cafe*", "cafe\u0301", False),
        ("caf\u00e9", "cafe\u0301", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("*x", "ax", True),
        ("reviews", "Reviews", False),
    ],
)
def test_accents_do_not_get_round_a_list(
    tmp_path: Path, allowed: str, name: str, may: bool
) -> None:
    key, _ = Keys(tmp_path / "keys.json").add("a", prompts=(allowed,))
    assert key.may_use(name) == may
