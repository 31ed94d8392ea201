"""Both clients against a running server with the real engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from serving.http.running import BASE, Held, Running, answer, eventually, piece, running, shelf
from serving.made import made
from tiny import tiny_backbone

from softprompt.errors import ServingError, UsageError
from softprompt.serving import Engine
from softprompt.serving.client import AsyncClient, Client, server_url
from softprompt.serving.keys import Keys
from softprompt.serving.registry import Registry


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    source = shelf()
    with Engine(tiny_backbone(), source) as engine, running(engine, source) as server:
        yield server


@pytest.mark.parametrize(
    ("place", "url"),
    [
        (8000, "http://127.0.0.1:8000"),
        ("8000", "http://127.0.0.1:8000"),
        ("box:9", "http://box:9"),
        ("https://example.org/v1/", "https://example.org"),
    ],
)
def test_places_of_servers(place: str | int, url: str) -> None:
    assert server_url(place) == url


def test_it_asks_classifies_and_streams(server: Running) -> None:
    with Client(server.url) as client:
        assert client.models() == [BASE, "rating", "story"]
        rating = client.ask("rating@1", "late parcel")
        assert rating.prompt == "rating@1"
        assert rating.text == max(rating.probabilities, key=lambda k: rating.probabilities[k])
        [chances, _] = client.classify("rating@1", ["late parcel", {"text": "great"}])
        assert chances == pytest.approx(rating.probabilities)
        story = client.ask("story", "late parcel", max_tokens=5)
        assert (story.probabilities, story.finish) == ({}, "length")
        pieces = list(client.stream("story", "late parcel", max_tokens=5))
        assert "".join(pieces) == story.text
        assert [one.prompt for one in client.tasks(["story", "rating", BASE], "late")] == [
            "story@1", "rating@2", None,
        ]  # fmt: skip


def test_the_async_client_says_the_same(server: Running) -> None:
    async def ask() -> None:
        async with AsyncClient(server.url) as client:
            one, two = await asyncio.gather(
                client.ask("rating", "late"), client.ask("story", "late", max_tokens=5)
            )
            with Client(server.url) as other:
                assert (one, two) == (
                    other.ask("rating", "late"),
                    other.ask("story", "late", max_tokens=5),
                )
            pieces = [piece async for piece in client.stream("story", "late", max_tokens=5)]
            assert "".join(pieces) == two.text
            assert await client.models() == [BASE, "rating", "story"]
            assert (await client.classify("rating", ["late"]))[0] == pytest.approx(
                one.probabilities
            )
            with pytest.raises(ServingError, match="no model or prompt 'nothing'"):
                await client.ask("nothing", "late")
            with pytest.raises(ServingError, match="max_tokens"):
                [piece async for piece in client.stream("story", "late", max_tokens=0)]

    asyncio.run(ask())


def test_leaving_a_stream_cancels_the_answer() -> None:
    engine = Held()

    async def leave(url: str) -> None:
        async with AsyncClient(url) as client:
            async for _ in client.stream("story", "late"):
                break

    with running(engine, shelf()) as server:
        submit = engine.submit_together

        def submit_and_begin(requests):  # type: ignore[no-untyped-def]
            tickets = submit(requests)
            tickets[0].put(piece("so"))
            return tickets

        engine.submit_together = submit_and_begin  # type: ignore[method-assign]
        asyncio.run(leave(server.url))
        assert eventually(lambda: engine.ticket().expired is not None)


def test_mistakes_are_told_in_the_servers_words(server: Running) -> None:
    with Client(server.url) as client:
        with pytest.raises(ServingError, match="Did you mean 'rating'"):
            client.ask("ratin", "late")
        with pytest.raises(ServingError, match="no model or prompt"):
            list(client.stream("ratin", "late"))
        with pytest.raises(ServingError, match="are fixed"):
            client.remove("rating")
    with Client("127.0.0.1:1") as nobody, pytest.raises(ServingError, match="No answer from"):
        nobody.models()


@contextmanager
def another_program(said: bytes) -> Iterator[int]:
    """The port of a web server that is none of ours and says the same to everybody."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever).start()
        try:
            yield other.server_port
        finally:
            other.shutdown()


@pytest.mark.parametrize(
    "said", [b"<html>", b"{}", b"[]", b'"x"', b'data: {"a": 1}\n\n', b"data: x"]
)
def test_another_program_at_the_address_is_a_mistake(said: bytes) -> None:
    with another_program(said) as port, Client(port) as client:
        with pytest.raises(ServingError, match="something else"):
            client.ask("rating", "late")
        if said.startswith(b"data"):
            with pytest.raises(ServingError, match="something else"):
                list(client.stream("rating", "late"))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_and_what_is_no_key(kind: type[Client] | type[AsyncClient]) -> None:
    for place in ("::1", "host:port"):
        with pytest.raises(UsageError, match="no address of a server"):
            kind(place)
    for key in ("ключ", "a\nb"):
        with pytest.raises(UsageError, match="no key has"):
            kind(8000, key)


def test_a_key_may_come_with_the_end_of_its_line(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    _, text = keys.add("ci")
    with running(Held(), shelf(), keys=keys) as server, Client(server.url, f"{text}\n") as client:
        assert client.models() == [BASE, "rating", "story"]


def test_ends_of_lines_in_an_answer_end_no_line_of_a_stream() -> None:
    parts = ["a\u2028b", "\x85\u2029", "c\n\r\x0b\x1c"]
    engine = Held()

    def work() -> None:
        for part in parts:
            engine.ticket().put(piece(part))
        engine.ticket().put(answer("".join(parts)))

    with running(engine, shelf()) as server, Client(server.url) as client:
        threading.Thread(target=work).start()
        assert list(client.stream("story", "late")) == parts


def test_an_administrator_changes_prompts_in_an_event_loop(tmp_path: Path) -> None:
    made("suffix", kind="score").save(tmp_path / "one")

    async def change(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.upload("a", tmp_path / "one", aliases=["first"])
            assert (await client.upload("a", tmp_path / "one", aliases=["b"]))["version"]
            assert (await client.alias("a", "first", 1))["aliases"]["first"] == 1
            await client.unalias("a", "first")
            with pytest.raises(ServingError):
                await client.alias("a", "first", 9)
            await client.remove("a")
            assert await client.models() == [BASE]
            with pytest.raises(ServingError, match="no model or prompt"):
                await client.rollback("a")

    with (
        Registry(tmp_path / "prompts", backbone=tiny_backbone()) as registry,
        running(Held(), registry) as server,
    ):
        asyncio.run(change(server.url))


def test_an_administrator_changes_prompts(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    _, text = keys.add("admin", scopes=("infer", "admin"))
    made("suffix", kind="score").save(tmp_path / "one")
    made("prefix", kind="score").save(tmp_path / "two")
    with (
        Registry(tmp_path / "prompts", backbone=tiny_backbone()) as registry,
        Engine(tiny_backbone(), registry) as engine,
        running(engine, registry, keys=keys) as server,
        Client(server.url, text) as client,
    ):
        client.upload("a-b", tmp_path / "one", aliases=["first"])
        assert client.upload("a-b", tmp_path / "two")["version"] == 2
        assert client.ask("a-b@first", "late").prompt == "a-b@1"
        assert client.alias("a-b", "first", 2)["aliases"] == {"first": 2}
        client.unalias("a-b", "first")
        assert client.rollback("a-b")["version"] == 1
        client.remove("a-b")
        assert client.models() == [BASE]
        with pytest.raises(UsageError, match="not an artifact"):
            client.upload("a", tmp_path)
        with Client(server.url) as stranger, pytest.raises(ServingError, match="key is needed"):
            stranger.models()
