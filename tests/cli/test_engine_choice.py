"""`softprompt serve` with a vLLM server or with replicas behind it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from serving.vllm_stand_in import standing_in

from cli.conftest import Shell
from cli.test_serve import prompts, serving

__all__ = ["prompts"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--engine", "vlm"], "There is no engine 'vlm'. Did you mean 'vllm'?"),
        (["--engine", "vllm"], "--engine vllm and --upstream go together."),
        (["--upstream", "http://127.0.0.1:1"], "--engine vllm and --upstream go together."),
        (["--max-rows", 0], "--max-rows cannot be 0. It is a whole number, 1 or more."),
        (["--max-waiting", -1], "--max-waiting cannot be -1."),
        (["--ray", "--replicas", 0], "--replicas cannot be 0."),
        (["--replicas", 2], "--replicas needs --ray."),
        (
            ["--ray", "--engine", "vllm", "--upstream", "http://127.0.0.1:1"],
            "--ray runs replicas of this project's own engine.",
        ),
        (["--engine", "vllm", "--upstream", "ftp://a"], "'ftp://a' is no address of a server."),
        (
            ["--engine", "vllm", "--upstream", "http://127.0.0.1:9"],
            "The vLLM server cannot be reached.",
        ),
    ],
)
def test_flags_that_cannot_be_are_told(
    shell: Shell, tmp_path: Path, words: list[object], told: str
) -> None:
    assert told in shell.mistake("serve", tmp_path / "prompts", "--port", 0, *words)


def test_a_gateway_is_served_asked_and_stopped(
    shell: Shell, tmp_path: Path, tiny_folder: Path, trained: Path
) -> None:
    folder = tmp_path / "served"
    exported = ["--to", "vllm", "--output", folder / "reviews"]
    assert shell("export", trained, *exported).code == 0
    with standing_in() as upstream:
        words = ["--engine", "vllm", "--upstream", upstream.url, "--dtype", "fp32"]
        with serving(folder, "--model", tiny_folder, *words) as served:
            asked = shell("ask", served.url, "reviews", "the late parcel", "--json").value
            wanted = shell("predict", folder / "reviews", "the late parcel", "--json").value
            one, other = asked["answers"][0], wanted["predictions"][0]
            assert one["answer"] == other["answer"]
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-2)
        assert upstream.sent


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs ray[serve], which is not installed")
def test_replicas_are_served_asked_and_stopped(
    shell: Shell, prompts: Path, tiny_folder: Path, trained: Path
) -> None:
    with serving(prompts, "--model", tiny_folder, "--ray", "--replicas", 2) as served:
        asked = shell("ask", served.url, "reviews", "the late parcel", "--json").value
        wanted = shell("predict", trained, "the late parcel", "--json").value
        assert asked["answers"][0]["answer"] == wanted["predictions"][0]["answer"]
