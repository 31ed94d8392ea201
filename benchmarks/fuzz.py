"""Can a client break the server? Random requests after its own document, and damaged uploads.

    python -m benchmarks.fuzz [--examples N] [--uploads N] [--json]

schemathesis makes bodies and parameters from the OpenAPI document, such as fit it and such as do
not; names are those of real prompts half of the time, so that requests get past the first check. A
failure is a status 500, 501 or 502, a connection that breaks, an answer that takes half a minute,
or one that the document does not promise. 429, 503 and 504 are honest answers. An upload that is
taken is asked for an answer in every way before it is removed.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import hypothesis
import schemathesis
import torch
from schemathesis import checks

from benchmarks.damaged import damaged
from benchmarks.report import claim, show
from softprompt import load_backbone
from softprompt.backbones import Backbone
from softprompt.prompts import PromptTask, SoftPrompt
from softprompt.serving import Engine
from softprompt.serving.http import Server, ServerConfig, bind, create_app
from softprompt.serving.registry import Registry
from softprompt.tasks import Choice

__all__ = ["Findings", "fuzz_document", "fuzz_uploads", "main", "served"]

BASE = "base"
_SECONDS = 30.0
_DEFECTS = (500, 501, 502)
_CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@dataclass
class Findings:
    """What came of it.

    Args:
        requests: how many were sent.
        statuses: how often each was answered.
        failures: each with what led to it.
    """

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def note(self, what: str, status: int, content: str) -> None:
        """Counts an answer."""
        self.requests += 1
        self.statuses[status] += 1
        if status in _DEFECTS:
            self.failures.append(f"{what}: {status} {content[:300]}")


def prompt(backbone: Backbone, kind: str) -> SoftPrompt:
    """Random vectors that write, or choose between two labels."""
    vectors = torch.randn(8, backbone.hidden_size, generator=torch.Generator().manual_seed(0))
    choices = (Choice("good", "good"), Choice("bad", "bad")) if kind == "classification" else ()
    task = PromptTask(
        kind, "{text}\nAnswer: {answer}", ("text",), "answer", choices, max_new_tokens=8
    )
    return SoftPrompt(
        tensors={"vectors": vectors * backbone.embedding_scale},
        placement="suffix",
        task=task,
        backbone=backbone.identity,
    )


@contextmanager
def served(backbone: Backbone, folder: Path) -> Iterator[tuple[str, Registry]]:
    """A server on a free port with a prompt that chooses and one that writes."""
    config = ServerConfig(port=0, deadline=10, max_deadline=10, drain_seconds=1)
    with Registry(folder / "prompts", backbone=backbone) as registry:
        _restore(registry, backbone)
        with Engine(backbone, registry) as engine:
            taken = bind(config, with_keys=False)
            server = Server(create_app(engine, registry, model=BASE, config=config))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
            thread.start()
            try:
                while not server.started:
                    time.sleep(0.01)
                yield f"http://127.0.0.1:{taken.getsockname()[1]}", registry
            finally:
                server.force_exit = server.should_exit = True
                thread.join()


def _restore(registry: Registry, backbone: Backbone) -> None:
    """Brings back what a random request has removed."""
    for name, kind in (("label", "classification"), ("write", "generation")):
        if name not in registry.names():
            registry.publish(name, prompt(backbone, kind), aliases=["stable"])


def fuzz_document(url: str, registry: Registry, backbone: Backbone, examples: int) -> Findings:
    """Random requests to every address, `examples` of each kind."""
    found = Findings()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            _restore(registry, backbone)
            try:
                _one_kind(operation, mode, examples, found)
            except (hypothesis.errors.Unsatisfiable, schemathesis.errors.SchemathesisError):
                # There is no wrong way to ask an address without parameters.
                continue
    return found


def _one_kind(operation: Any, mode: Any, examples: int, found: Findings) -> None:
    numbers = iter(range(10**9))

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        if next(numbers) % 2:
            _aim(case)
        what = f"{case.method} {case.path} {str(case.body)[:300]}"
        try:
            response = case.call(timeout=_SECONDS)
        except OSError as error:  # what requests raises when a connection breaks or stands still
            found.requests += 1
            found.failures.append(f"{what}: {type(error).__name__}")
            return
        found.note(what, response.status_code, response.text)
        try:
            case.validate_response(response, checks=_CHECKS)
        except (checks.FailureGroup, checks.Failure) as broken:
            said = getattr(broken, "exceptions", [broken])
            found.failures.append(f"{what}: {response.status_code} {said}")

    send()


def _aim(case: Any) -> None:
    """Names real prompts, so that more than names is tried."""
    if isinstance(case.body, dict):
        if "model" in case.body:
            case.body["model"] = ("label", "write", BASE, "write@stable")[len(str(case.body)) % 4]
        if isinstance(case.body.get("prompts"), list):
            case.body["prompts"] = ["label", "write", BASE][: len(case.body["prompts"]) or 1]
    for name in ("name", "model"):
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = "label"


def fuzz_uploads(url: str, folder: Path, artifact: SoftPrompt, count: int) -> Findings:
    """Damaged artifacts, `count` of them; those that are taken are used."""
    found = Findings()
    artifact.save(folder / "artifact")
    with httpx2.Client(base_url=url, timeout=_SECONDS) as client:

        def ask(what: str, method: str, path: str, **content: Any) -> int:
            try:
                response = client.request(method, path, **content)
            except httpx2.HTTPError as error:
                found.requests += 1
                found.failures.append(f"{what}: {type(error).__name__}")
                return 0
            found.note(what, response.status_code, response.text)
            return response.status_code

        for number, (description, tensors) in enumerate(damaged(folder / "artifact", count)):
            files = {"description": ("a", description), "tensors": ("b", tensors)}
            what = f"upload {number}"
            sent = ask(what, "POST", "/v1/prompts", data={"name": "mutant"}, files=files)
            if 400 <= sent < 500:
                continue
            text = "the food was cold"
            ask(what, "POST", "/v1/completions", json={"model": "mutant", "prompt": text})
            ask(what, "POST", "/v1/classify", json={"model": "mutant", "input": text})
            messages = [{"role": "user", "content": text}]
            ask(
                what, "POST", "/v1/chat/completions", json={"model": "mutant", "messages": messages}
            )
            ask(what, "GET", "/v1/prompts/mutant")
            ask(what, "DELETE", "/v1/prompts/mutant")
        ask("the end", "GET", "/health")
    return found


def main() -> None:
    """Sends everything and reports what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--examples", type=int, default=100, help="of each address and kind")
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backbone = load_backbone("nano")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(backbone, folder) as (url, registry):
            document = fuzz_document(url, registry, backbone, arguments.examples)
            artifact = prompt(backbone, "classification")
            uploads = fuzz_uploads(url, folder, artifact, arguments.uploads)
    failures = [*document.failures, *uploads.failures]
    sent = document.requests + uploads.requests
    reason = f"{document.requests} requests, {arguments.uploads} uploads"
    claims = [claim("fuzz_failures", [float(len(failures))], 0, "at_most", "failures", reason)]
    details = {
        "requests": sent,
        "document_statuses": dict(sorted(document.statuses.items())),
        "upload_statuses": dict(sorted(uploads.statuses.items())),
        "failures": failures[:50],
    }
    show(claims, details, as_json=arguments.json)
    if failures and not arguments.json:
        print("\n".join(failures[:20]))


if __name__ == "__main__":
    main()
