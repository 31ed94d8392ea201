"""Files and jobs over HTTP: who sees what, what is refused, and that nothing of the server leaks.

The training process is a stand-in that does as the uploaded file says.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from serving.http.running import BASE, Held, Running, checked, eventually, running, shelf
from serving.jobs import stand_in
from serving.jobs.bench import end_all
from serving.made import made
from tiny import tiny_backbone

from softprompt.serving import Engine
from softprompt.serving.http.tuning import said
from softprompt.serving.jobs import JobLimits, Jobs
from softprompt.serving.keys import Keys
from softprompt.serving.registry import Registry

JOBS = "/v1/fine_tuning/jobs"


@contextmanager
def serving(folder: Path, keys: Keys | None = None, **settings: Any) -> Iterator[Running]:
    with ExitStack() as stack:
        registry = stack.enter_context(Registry(folder / "prompts", backbone=tiny_backbone()))
        registry.publish("old", made())
        jobs = Jobs(
            folder / "tuning",
            registry,
            model=BASE,
            called=BASE,
            limits=JobLimits(grace_seconds=20, waiting_each=3, files_each=40),
            program=(sys.executable, stand_in.__file__),
        )
        stack.callback(lambda: end_all(jobs))
        engine = stack.enter_context(Engine(tiny_backbone(), registry))
        yield stack.enter_context(running(engine, registry, keys=keys, jobs=jobs, **settings))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with serving(tmp_path, max_upload_bytes=1 << 20) as server:
        yield server


@pytest.fixture
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def rows(do: str, **row: Any) -> bytes:
    return json.dumps({"do": do, **row}).encode() + b"\n"


def upload(client: openai.OpenAI, do: str = "wait", name: str = "a.jsonl", **row: Any) -> str:
    return client.files.create(file=(name, rows(do, **row)), purpose="fine-tune").id


def begin(client: openai.OpenAI, file: str, **order: Any) -> str:
    return client.fine_tuning.jobs.create(model=BASE, training_file=file, **order).id


def test_files_come_and_go(client: openai.OpenAI, server: Running) -> None:
    content = "nhãn,chữ\n".encode() * 20_000
    made_ = client.files.create(file=("Bảng.csv", content), purpose="fine-tune")
    assert (made_.filename, made_.bytes, made_.purpose) == ("Bảng.csv", len(content), "fine-tune")
    assert made_.status == "processed"
    assert client.files.retrieve(made_.id) == made_
    assert client.files.content(made_.id).read() == content
    ids = [made_.id, *(upload(client) for _ in range(3))]
    assert sorted(file.id for file in client.files.list()) == sorted(ids)
    paged = client.files.list(limit=3, order="asc")
    assert paged.has_more
    assert sorted(file.id for file in paged) == sorted(ids), "pages follow one another"
    assert list(client.files.list(purpose="batch")) == []
    assert client.files.delete(made_.id).deleted
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        client.files.retrieve(made_.id)
    with server.http() as http:
        headers = http.get(f"/v1/files/{ids[1]}/content").headers
    assert headers["content-disposition"] == "attachment; filename*=UTF-8''a.jsonl"
    assert headers["content-type"] == "application/octet-stream"


def test_files_are_read_in_pieces(tmp_path: Path) -> None:
    size, readers = 16 << 20, 4
    with serving(tmp_path) as server, ExitStack() as stack:
        http = stack.enter_context(server.http())
        form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.csv", b"a" * size)}}
        file = http.post("/v1/files", **form).json()["id"]
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for _ in range(readers):
            slow = stack.enter_context(server.http())
            stack.enter_context(slow.stream("GET", f"/v1/files/{file}/content"))
        assert tracemalloc.get_traced_memory()[1] < size
        assert len(http.get(f"/v1/files/{file}/content").content) == size


@pytest.mark.parametrize("name", ["../a.csv", "a/b.csv", "/etc/passwd", ".csv", "a.exe", "x" * 250])
def test_names_lead_nowhere(server: Running, tmp_path: Path, name: str) -> None:
    files = {"file": (name, rows("wait"))}
    server.refused(400, "POST", "/v1/files", data={"purpose": "fine-tune"}, files=files)
    assert list((tmp_path / "tuning" / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"data": {"purpose": "fine-tune"}, "files": {"other": ("a.csv", b"a")}}, "other"),
        ({"data": {"purpose": "batch"}, "files": {"file": ("a.csv", b"a")}}, "purpose"),
        ({"data": {}, "files": {"file": ("a.csv", b"a")}}, "purpose"),
        ({"data": {"purpose": "fine-tune", "file": "text"}, "files": {}}, None),
        (
            {
                "data": {"purpose": "fine-tune", "expires_after[seconds]": "5"},
                "files": {"file": ("a.csv", b"a")},
            },
            "expires_after[seconds]",
        ),
        ({"content": b"{}", "headers": {"content-type": "application/json"}}, None),
        (
            {"content": b"--", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            "purpose",
        ),
        ({"content": b"--", "headers": {"content-type": "multipart/form-data"}}, None),
        ({"data": {"purpose": "fine-tune"}, "files": {"file": ("a.csv", b"")}}, None),
    ],
)
def test_forms_are_checked(server: Running, form: dict[str, Any], param: str | None) -> None:
    assert server.refused(400, "POST", "/v1/files", **form)["param"] == param


def test_what_is_no_file_stays_out_of_memory(server: Running) -> None:
    """A field without a file name is held in memory, and so has to be short."""
    long = "x" * (1 << 17)
    for path, form in (
        ("/v1/files", {"data": {"purpose": long}, "files": {"file": ("a.csv", b"a")}}),
        ("/v1/prompts", {"data": {"name": long}, "files": {"tensors": ("t", b"a")}}),
    ):
        error = server.refused(400, "POST", path, **form)
        assert (error["code"], error["param"]) == ("invalid_form", None)


def test_uploads_are_limited(server: Running) -> None:
    files = {"file": ("a.csv", b"a" * (1 << 20))}
    server.refused(413, "POST", "/v1/files", data={"purpose": "fine-tune"}, files=files)
    files = {"file": ("a.csv", b"a" * (1 << 19))}
    with server.http() as http:
        assert http.post("/v1/files", data={"purpose": "fine-tune"}, files=files).is_success
    with server.http() as http:
        for _ in range(39):
            small = {"file": ("a.csv", b"a")}
            assert http.post("/v1/files", data={"purpose": "fine-tune"}, files=small).is_success
    told = server.refused(409, "POST", "/v1/files", data={"purpose": "fine-tune"}, files=small)
    assert told["code"] == "storage_limit"


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"sufix": "a"}, "sufix", "Did you mean 'suffix'"),
        ({"hyperparameters": {"n_epoch": 3}}, "hyperparameters.n_epoch", "Did you mean 'n_epochs'"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "greater than or equal"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs", "integer"),
        ({"hyperparameters": {"start": "/etc"}}, "hyperparameters.start", "no known parameter"),
        ({"hyperparameters": {"initialisation": "prompt"}}, "hyperparameters.initialisation", ""),
        ({"hyperparameters": {"method": "lor"}}, None, "Unknown method 'lor'"),
        ({"task": {"targe": "b"}}, "task.targe", "Did you mean 'target'"),
        ({"task": {"validation": "/etc/passwd"}}, "task.validation", "no known parameter"),
        ({"task": {"template": "{a}"}}, None, "answer"),
        ({"method": {"type": "dpo"}}, "method.type", "supervised"),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"x": 1}}}},
            "method.supervised.hyperparameters.x",
            "no known",
        ),
        (
            {
                "hyperparameters": {"n_epochs": 1},
                "method": {
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": 2}},
                },
            },
            "hyperparameters",
            "twice",
        ),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "at most 0"),
        ({"metadata": {"k" * 65: "v"}}, "metadata", "64"),
        ({"metadata": {str(n): "v" for n in range(17)}}, "metadata", "16"),
        ({"metadata": {"a": "\ud800"}}, None, "whole characters"),
        ({"task": {"template": "\ud800{a}{answer}"}}, "task.template", "unicode"),
        ({"seed": -1}, "seed", "greater"),
        ({"suffix": "../../evil"}, "suffix", "cannot be the name"),
        ({"suffix": "old"}, None, "'old' is taken"),
        ({"suffix": BASE}, None, "base model"),
        ({"suffix": "x" * 65}, "suffix", "64"),
        ({"model": "old"}, "model", "old is a prompt"),
    ],
)
def test_orders_are_checked(
    server: Running, client: openai.OpenAI, change: dict[str, Any], param: str | None, told: str
) -> None:
    body = {"model": BASE, "training_file": upload(client), **change}
    sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
    error = server.refused(400, "POST", JOBS, **sent)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert told in error["message"]
    assert list(client.fine_tuning.jobs.list()) == []


def test_what_is_not_there_is_not_found(server: Running, client: openai.OpenAI) -> None:
    for file in ("file-0", "../../etc/passwd", "file-" + "0" * 24):
        body = {"model": BASE, "training_file": file}
        assert server.refused(404, "POST", JOBS, json=body)["code"] == "not_found"
    body = {"model": "nothing", "training_file": upload(client)}
    assert server.refused(404, "POST", JOBS, json=body)["code"] == "model_not_found"
    for method, path in (
        ("GET", JOBS + "/{}"),
        ("GET", JOBS + "/{}/events"),
        ("GET", JOBS + "/{}/checkpoints"),
        ("POST", JOBS + "/{}/cancel"),
        ("POST", JOBS + "/{}/pause"),
        ("POST", JOBS + "/{}/resume"),
        ("GET", "/v1/files/{}"),
        ("GET", "/v1/files/{}/content"),
        ("DELETE", "/v1/files/{}"),
    ):
        for place in ("ftjob-" + "0" * 24, "%2e%2e", "a%00b", "..%2f..%2fetc%2fpasswd", "%ff"):
            server.refused(404, method, path.format(place))
    for query in ("limit=0", "limit=101", "limit=x", "after=nothing"):
        server.refused(400, "GET", f"{JOBS}?{query}")


def test_jobs_are_listed_in_pages_and_by_metadata(client: openai.OpenAI) -> None:
    file = upload(client)
    ids = [
        begin(client, file, metadata={"team": team}, suffix=f"s{number}")
        for number, team in enumerate(("a", "b", "a"))
    ]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == ids[::-1]
    found = client.fine_tuning.jobs.list(metadata={"team": "a"})
    assert [job.id for job in found] == [ids[2], ids[0]]


def test_events_come_in_pages(client: openai.OpenAI, tmp_path: Path) -> None:
    made().save(tmp_path / "artifact")
    job = begin(client, upload(client, "finish", prompt=str(tmp_path / "artifact")))
    assert eventually(lambda: client.fine_tuning.jobs.retrieve(job).status == "succeeded")
    whole = client.fine_tuning.jobs.list_events(job, limit=100).data
    paged = list(client.fine_tuning.jobs.list_events(job, limit=2))
    assert [event.id for event in paged] == [event.id for event in whole]
    assert {event.type for event in whole} == {"message", "metrics"}
    name = client.fine_tuning.jobs.retrieve(job).fine_tuned_model
    assert name == f"ft-{job[6:18]}@1"
    assert client.completions.create(model=name, prompt="late").choices[0].text


def test_a_failed_job_tells_no_path_and_no_trace(client: openai.OpenAI, tmp_path: Path) -> None:
    for do in ("refuse", "crash"):
        job = begin(client, upload(client, do))
        assert eventually(lambda job=job: client.fine_tuning.jobs.retrieve(job).status == "failed")
        seen = client.fine_tuning.jobs.retrieve(job).to_json()
        seen += client.fine_tuning.jobs.list_events(job).to_json()
        assert str(tmp_path) not in seen
        assert "Traceback" not in seen
        assert "defect" not in seen


def test_an_overfull_queue_says_when_to_come_back(server: Running, client: openai.OpenAI) -> None:
    file = upload(client)
    first = begin(client, file)
    assert eventually(lambda: client.fine_tuning.jobs.retrieve(first).status == "running")
    for _ in range(3):
        begin(client, file)
    with server.http() as http:
        response = http.post(JOBS, json={"model": BASE, "training_file": file})
    assert checked(response, 429)["code"] == "overloaded"
    assert response.headers["retry-after"] == "60"


def test_a_server_without_jobs_says_so() -> None:
    with running(Held(), shelf()) as server:
        assert server.refused(403, "GET", JOBS)["code"] == "tuning_is_off"
        assert server.refused(403, "GET", "/v1/files")["code"] == "tuning_is_off"


def test_flags_are_told_as_fields() -> None:
    told = said("No target. Name --target, or --drop-empty, --validation FILE; not --target-x.")
    assert told == (
        "No target. Name task.target, or task.drop_empty, validation_file; not --target-x."
    )
    assert said("/srv/files/a.csv: line 2/3") == "a.csv: line 2/3"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


def test_keys_keep_to_themselves(tmp_path: Path, keys: Keys) -> None:
    texts = {
        name: keys.add(name, scopes=scopes)[1]
        for name, scopes in {
            "anna": ("tune", "infer"),
            "bela": ("tune",),
            "reader": ("infer",),
            "boss": ("admin",),
        }.items()
    }
    with serving(tmp_path, keys) as server, ExitStack() as stack:

        def ask(who: str, method: str, path: str, **request: Any) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {texts[who]}"}
            http = stack.enter_context(server.http(headers=headers))
            return http.request(method, path, **request)

        form = {"data": {"purpose": "fine-tune"}, "files": {"file": ("a.jsonl", rows("wait"))}}
        file = ask("anna", "POST", "/v1/files", **form).json()["id"]
        body = {"model": BASE, "training_file": file, "suffix": "mine"}
        checked(ask("reader", "POST", "/v1/files", **form), 403)
        checked(ask("reader", "GET", JOBS), 403)
        checked(ask("bela", "POST", JOBS, json=body), 404)
        job = ask("anna", "POST", JOBS, json=body).json()["id"]
        for method, path in (
            ("GET", f"/v1/files/{file}"),
            ("GET", f"/v1/files/{file}/content"),
            ("DELETE", f"/v1/files/{file}"),
            ("GET", f"{JOBS}/{job}"),
            ("GET", f"{JOBS}/{job}/events"),
            ("POST", f"{JOBS}/{job}/cancel"),
        ):
            checked(ask("bela", method, path), 404)
        for who, count in (("anna", 1), ("bela", 0), ("boss", 1)):
            assert len(ask(who, "GET", "/v1/files").json()["data"]) == count
            assert len(ask(who, "GET", JOBS).json()["data"]) == count
        # Of two keys neither can put a version under the other's name.
        mine = ask("bela", "POST", "/v1/files", **form).json()["id"]
        error = checked(ask("bela", "POST", JOBS, json={**body, "training_file": mine}), 400)
        assert "is taken" in error["message"]
        assert ask("boss", "POST", f"{JOBS}/{job}/cancel").is_success


def test_a_key_with_a_list_makes_what_is_on_it(tmp_path: Path, keys: Keys) -> None:
    _, text = keys.add("anna", scopes=("tune",), prompts=("shop-*",))
    with serving(tmp_path, keys) as server:
        url = f"{server.url}/v1"
        with openai.OpenAI(base_url=url, api_key=text, max_retries=0) as client:
            file = upload(client)
            for suffix in ("other", None):
                with pytest.raises(openai.PermissionDeniedError, match=r"only: shop-\*"):
                    client.fine_tuning.jobs.create(model=BASE, training_file=file, suffix=suffix)
            assert begin(client, file, suffix="shop reviews")
