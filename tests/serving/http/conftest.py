"""A server with the real engine on a tiny model, and one whose engine does as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from serving.http.running import Held, Running, running, shelf
from tiny import tiny_backbone

from softprompt.serving import Engine


@pytest.fixture(scope="module")
def tiny() -> Iterator[Running]:
    source = shelf()
    with Engine(tiny_backbone(), source) as engine, running(engine, source) as server:
        yield server


@pytest.fixture(scope="module")
def client(tiny: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tiny.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def engine() -> Held:
    return Held()


@pytest.fixture
def held(engine: Held) -> Iterator[Running]:
    with running(engine, shelf()) as server:
        yield server
