"""Uploads, aliases, rollback and removal over a real registry, with their traces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving.http.running import BASE, Running, checked, eventually, running
from serving.made import made
from tiny import tiny_backbone

from softprompt.prompts import SoftPrompt
from softprompt.serving import Engine
from softprompt.serving.audit import Audit
from softprompt.serving.keys import Keys
from softprompt.serving.registry import Registry


def files(prompt: SoftPrompt, folder: Path) -> dict[str, Any]:
    """The form's files of an artifact."""
    prompt.save(folder)
    return {
        "description": ("anything.json", (folder / "prompt.json").read_bytes()),
        "tensors": ("../../evil", (folder / "prompt.safetensors").read_bytes()),
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    audit = Audit(tmp_path / "audit.jsonl")
    with (
        Registry(tmp_path / "prompts", backbone=tiny_backbone()) as registry,
        Engine(tiny_backbone(), registry) as engine,
        running(engine, registry, audit=audit, max_upload_bytes=1 << 20) as server,
    ):
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[httpx2.Client]:
    with server.http() as client:
        yield client


@pytest.fixture
def form(tmp_path: Path) -> dict[str, Any]:
    return files(made("suffix", kind="score"), tmp_path / "artifact")


def good(response: httpx2.Response, status: int = 200) -> dict[str, Any]:
    assert response.status_code == status, response.text
    value: dict[str, Any] = response.json()
    return value


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_upload_answers_at_once(
    client: httpx2.Client, form: dict[str, Any], tmp_path: Path
) -> None:
    assert [c["id"] for c in good(client.get("/v1/models"))["data"]] == [BASE]
    data = {"name": "đánh-giá", "alias": ["production", "ngày-1"]}
    card = good(client.post("/v1/prompts", data=data, files=form), 201)
    assert (card["id"], card["version"]) == ("đánh-giá", 1)
    assert card["aliases"] == {"production": 1, "ngày-1": 1}
    assert card["versions"][0]["labels"] == ["pos", "neg", "none"]
    for model in ("đánh-giá", "đánh-giá@1", "đánh-giá@production"):
        body = {"model": model, "input": "late parcel"}
        answer = good(client.post("/v1/classify", json=body))
        assert answer["prompt_version"] == "đánh-giá@1"
    assert [c["id"] for c in good(client.get("/v1/models"))["data"]] == [BASE, "đánh-giá"]
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["begun", "done"]
    assert (lines[1]["action"], lines[1]["name"], lines[1]["version"]) == ("publish", "đánh-giá", 1)
    assert entries(tmp_path) == ["artifact", "audit.jsonl", "prompts"]


def test_versions_aliases_rollback_and_removal(
    client: httpx2.Client, form: dict[str, Any], tmp_path: Path
) -> None:
    good(client.post("/v1/prompts", data={"name": "a", "alias": "stable"}, files=form), 201)
    second = files(made("prefix", kind="score", seed=3), tmp_path / "second")
    card = good(client.post("/v1/prompts", data={"name": "a"}, files=second), 201)
    assert [v["id"] for v in card["versions"]] == ["a@2", "a@1"]
    assert (card["version"], card["aliases"]) == (2, {"stable": 1})
    card = good(client.put("/v1/prompts/a/aliases/stable", json={"version": 2}))
    assert card["aliases"] == {"stable": 2}
    card = good(client.post("/v1/prompts/a/rollback"))
    assert card["version"] == 1
    answer = good(client.post("/v1/classify", json={"model": "a", "input": "late"}))
    assert answer["prompt_version"] == "a@1"
    assert good(client.delete("/v1/prompts/a/aliases/stable"))["id"] == "a@stable"
    [listed] = good(client.get("/v1/prompts"))["data"]
    assert (listed["id"], [v["version"] for v in listed["versions"]]) == ("a", [1])
    assert good(client.delete("/v1/prompts/a"))["deleted"] is True
    error = checked(client.post("/v1/classify", json={"model": "a", "input": "late"}), 404)
    assert error["code"] == "model_not_found"
    assert checked(client.get("/v1/prompts/a"), 404)["param"] == "name"
    assert checked(client.delete("/v1/prompts/a"), 404)["param"] == "name"


def test_a_damaged_prompt_is_not_said_to_be_missing(
    client: httpx2.Client, form: dict[str, Any], tmp_path: Path
) -> None:
    good(client.post("/v1/prompts", data={"name": "a"}, files=form), 201)
    [tensors] = (tmp_path / "prompts" / "a").rglob("prompt.safetensors")
    tensors.write_bytes(b"")

    def told() -> str:
        response = client.post("/v1/classify", json={"model": "a", "input": "late"})
        return str(checked(response, response.status_code)["message"])

    assert eventually(lambda: "cannot be served; GET /v1/prompts/a says why" in told()), told()
    [version] = good(client.get("/v1/prompts/a"))["versions"]
    assert "damaged" in version["problem"]


def test_accents_do_not_get_round_the_list_of_a_key(tmp_path: Path, form: dict[str, Any]) -> None:
    keys = Keys(tmp_path / "keys.json")
    _, text = keys.add("team", scopes=("infer", "admin"), prompts=("cafe*",))
    with Registry(tmp_path / "prompts", backbone=tiny_backbone()) as registry:
        registry.publish("café", tmp_path / "artifact")
        with (
            Engine(tiny_backbone(), registry) as engine,
            running(engine, registry, keys=keys, key=text) as server,
        ):
            for name in ("caf\u00e9", "cafe\u0301"):
                body = {"model": name, "input": "late"}
                server.refused(404, "POST", "/v1/classify", json=body)
                server.refused(404, "GET", f"/v1/prompts/{name}")
                server.refused(404, "DELETE", f"/v1/prompts/{name}")
                server.refused(404, "POST", "/v1/prompts", data={"name": name}, files=form)
        assert list(registry.names()) == ["café"]


def test_what_names_a_version_removes_no_prompt(
    client: httpx2.Client, form: dict[str, Any]
) -> None:
    for _ in range(2):
        good(client.post("/v1/prompts", data={"name": "a", "alias": "stable"}, files=form), 201)
    for method, path in (
        ("DELETE", "/v1/prompts/a@1"),
        ("DELETE", "/v1/prompts/a@stable"),
        ("POST", "/v1/prompts/a@2/rollback"),
        ("DELETE", "/v1/prompts/a@1/aliases/stable"),
    ):
        checked(client.request(method, path), 400)
    card = good(client.get("/v1/prompts/a"))
    assert (card["version"], card["aliases"], len(card["versions"])) == (2, {"stable": 2}, 2)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "a@1",
        "a b",
        ".hidden",
        "a\0b",
        "x" * 101,
        BASE,
    ],
)
def test_names_lead_nowhere(
    server: Running, form: dict[str, Any], name: str, tmp_path: Path
) -> None:
    server.refused(400, "POST", "/v1/prompts", data={"name": name}, files=form)
    server.refused(400, "POST", "/v1/prompts", data={"name": "a", "alias": f"{name}@"}, files=form)
    assert not [path for path in tmp_path.rglob("prompt.safetensors") if "prompts" in path.parts]


@pytest.mark.parametrize("place", ["..%2f..%2fetc", "%2e%2e", "a%00b", "a%2fb", "%ff"])
def test_addresses_lead_nowhere(client: httpx2.Client, place: str) -> None:
    for method, path in (
        ("GET", f"/v1/prompts/{place}"),
        ("DELETE", f"/v1/prompts/{place}"),
        ("POST", f"/v1/prompts/{place}/rollback"),
        ("DELETE", f"/v1/prompts/{place}/aliases/{place}"),
        ("GET", f"/v1/models/{place}"),
    ):
        response = client.request(method, path)
        assert response.status_code in (400, 404, 405), (method, path)
        checked(response, response.status_code)


def damaged(form: dict[str, Any], kind: str) -> dict[str, Any]:
    name, description = form["description"]
    tensors = form["tensors"][1]
    changes = {
        "cut tensors": {"tensors": ("t", tensors[:-10])},
        "no tensors": {"tensors": ("t", b"")},
        "pickle": {"tensors": ("t", b"\x80\x04\x95\x0c\x00\x00\x00")},
        "changed tensors": {"tensors": ("t", tensors[:-4] + b"\x00\x00\x80\x3f")},
        "no json": {"description": (name, b"\xff\xfe")},
        "a list": {"description": (name, b"[]")},
        "changed json": {"description": (name, description.replace(b"suffix", b"prefix"))},
        "deep json": {"description": (name, b"[" * 100_000)},
    }
    return {**form, **changes[kind]}


@pytest.mark.parametrize(
    "kind",
    [
        "cut tensors",
        "no tensors",
        "pickle",
        "changed tensors",
        "no json",
        "a list",
        "changed json",
        "deep json",
    ],
)
def test_a_damaged_artifact_is_refused_and_leaves_nothing(
    server: Running, form: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    error = server.refused(
        422, "POST", "/v1/prompts", data={"name": "a"}, files=damaged(form, kind)
    )
    assert error["code"] == "invalid_artifact"
    assert "softprompt-upload" not in error["message"]
    with server.http() as client:
        assert [c["id"] for c in good(client.get("/v1/models"))["data"]] == [BASE]
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["begun", "failed"]


def test_a_prompt_of_another_backbone_is_refused(server: Running, tmp_path: Path) -> None:
    other = files(made(backbone=tiny_backbone("qwen3")), tmp_path / "other")
    error = server.refused(422, "POST", "/v1/prompts", data={"name": "a"}, files=other)
    assert error["code"] == "invalid_artifact"


def test_forms_that_are_none(server: Running, form: dict[str, Any]) -> None:
    refused = server.refused
    assert refused(400, "POST", "/v1/prompts", json={"name": "a"})["code"] == "invalid_form"
    assert refused(400, "POST", "/v1/prompts", files=form)["param"] == "name"
    assert refused(400, "POST", "/v1/prompts", data={"name": ["a", "b"]}, files=form)
    one = {"description": form["description"]}
    error = refused(400, "POST", "/v1/prompts", data={"name": "a"}, files=one)
    assert error["param"] == "tensors"
    many = {f"file{n}": ("x", b"x") for n in range(50)}
    assert refused(400, "POST", "/v1/prompts", data={"name": "a"}, files={**form, **many})
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert refused(400, "POST", "/v1/prompts", content=b"--y\r\nbroken", headers=headers)
    headers = {"Content-Type": "multipart/form-data"}
    assert refused(400, "POST", "/v1/prompts", content=b"x", headers=headers)


def test_an_upload_has_a_size(server: Running, form: dict[str, Any]) -> None:
    large = {**form, "tensors": ("t", bytes(2 << 20))}
    error = server.refused(413, "POST", "/v1/prompts", data={"name": "a"}, files=large)
    assert "1048576 bytes" in error["message"]


def test_an_action_that_cannot_be_noted_is_not_done(
    server: Running, form: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    error = server.refused(503, "POST", "/v1/prompts", data={"name": "a"}, files=form)
    assert error["code"] == "storage_unavailable"
    with server.http() as client:
        assert [c["id"] for c in good(client.get("/v1/models"))["data"]] == [BASE]


def test_the_first_version_has_nothing_to_go_back_to(server: Running, form: dict[str, Any]) -> None:
    with server.http() as client:
        good(client.post("/v1/prompts", data={"name": "a"}, files=form), 201)
    assert "first" in server.refused(400, "POST", "/v1/prompts/a/rollback")["message"]
    assert server.refused(400, "PUT", "/v1/prompts/a/aliases/3", json={"version": 1})
    assert server.refused(404, "PUT", "/v1/prompts/a/aliases/b", json={"version": 7})
    assert server.refused(404, "DELETE", "/v1/prompts/a/aliases/b")


def test_prompts_in_memory_are_fixed(tiny: Running) -> None:
    error = tiny.refused(403, "DELETE", "/v1/prompts/rating")
    assert error["code"] == "prompts_are_fixed"
