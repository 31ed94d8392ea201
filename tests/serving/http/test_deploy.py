"""The Dockerfile and the systemd unit: linted where that is possible, and kept to their word."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from softprompt.cli.app import parser

DEPLOY = Path(__file__).parents[3] / "deploy"
DOCKERFILE, UNIT = DEPLOY / "Dockerfile", DEPLOY / "softprompt.service"


def check_flags(words: list[str]) -> None:
    """A command line of `softprompt` that its parser knows."""
    command = parser().commands[words[0]]
    command.make_context(words[0], words[1:])


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_image_runs_without_rights() -> None:
    last = DOCKERFILE.read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert last.index("USER 10001") < last.index("ENTRYPOINT")
    assert "pip install" not in last, "tools of the build stay behind"
    assert re.search(r"^STOPSIGNAL SIGTERM$", last, re.MULTILINE)
    assert re.findall(r"(?m)^(?:ADD|COPY) (?!--from=build)", last) == []


def test_the_image_starts_the_server_with_keys() -> None:
    text = DOCKERFILE.read_text()
    [entry], [command] = (
        [json.loads(found) for found in re.findall(rf"(?m)^{word} (\[.*\])$", text)]
        for word in ("ENTRYPOINT", "CMD")
    )
    assert entry == ["softprompt"]
    assert command[command.index("--host") + 1] == "0.0.0.0"
    assert "--keys" in command
    check_flags(command)


def test_the_unit_keeps_the_service_in_its_place() -> None:
    found = directives()
    for name, value in {
        "User": "softprompt",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "RestrictSUIDSGID": "yes",
        "StateDirectory": "softprompt",
        "UMask": "0077",
    }.items():
        assert found[name] == [value], name


def test_the_unit_gives_running_requests_their_time() -> None:
    found = directives()
    words = shlex.split(found["ExecStart"][0])
    assert words[1] == "serve"
    assert words[-1] == "$SOFTPROMPT_FLAGS"
    check_flags(words[1:-1])
    drain = float(words[words.index("--drain") + 1])
    assert float(found["TimeoutStopSec"][0]) > drain + 10
    assert found["KillSignal"] == ["SIGTERM"]


def test_hadolint_finds_nothing() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("needs hadolint")
    ended = subprocess.run(
        ["hadolint", DOCKERFILE], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    # The program is not installed where the unit expects it.
    text = UNIT.read_text().replace("/opt/softprompt/bin/softprompt", sys.executable)
    (tmp_path / UNIT.name).write_text(text)
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    told = [line for line in ended.stderr.splitlines() if UNIT.name in line]
    assert told == []
