"""A small client of the server: ask prompts, and, with an administrator's key, change them.

    with Client("http://127.0.0.1:8000") as client:
        client.ask("reviews", "quá hay").text

Any client of OpenAI's API works as well; this one knows what that API has no words for. `Client`
and `AsyncClient` send the same calls and read the same replies. It does not know the engine.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from softprompt.errors import ServingError, UsageError

if TYPE_CHECKING:
    import httpx2

__all__ = ["AsyncClient", "Client", "Reply", "server_url"]

T = TypeVar("T")
# What reading the reply of another program may end in.
_STRANGE = (ValueError, KeyError, TypeError, AttributeError)
Text = str | Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """The answer of one prompt.

    Args:
        text: the label, or what was written.
        prompt: the version that answered (`name@3`); None for the base model.
        probabilities: of every label; empty for free text.
        finish: `stop` or `length`.
    """

    text: str
    prompt: str | None
    probabilities: Mapping[str, float]
    finish: str


@dataclass(frozen=True)
class _Call(Generic[T]):
    """A request and how its reply is read."""

    method: str
    path: str
    read: Callable[[Any], T]
    body: dict[str, Any] = field(default_factory=dict)


def server_url(place: str | int) -> str:
    """The address of a server from a port, a host with a port, or an address."""
    text = str(place).strip().rstrip("/").removesuffix("/v1")
    if text.isdecimal():
        return f"http://127.0.0.1:{text}"
    return text if "://" in text else f"http://{text}"


def _tasks(prompts: Sequence[str], text: Text, options: Mapping[str, Any]) -> _Call[list[Reply]]:
    def read(value: Any) -> list[Reply]:
        return [
            Reply(
                one["text"], one["prompt_version"], one["probabilities"] or {}, one["finish_reason"]
            )
            for one in value["data"]
        ]

    asked = dict(text) if isinstance(text, Mapping) else text
    body = {"text": asked, "prompts": list(prompts), **options}
    return _Call("POST", "/v1/tasks", read, {"json": body})


def _classify(
    prompt: str, texts: Sequence[Text], options: Mapping[str, Any]
) -> _Call[list[dict[str, float]]]:
    asked = [dict(text) if isinstance(text, Mapping) else text for text in texts]
    body = {"model": prompt, "input": asked, **options}
    return _Call(
        "POST",
        "/v1/classify",
        lambda value: [one["probabilities"] for one in value["data"]],
        {"json": body},
    )


def _upload(name: str, folder: Path, aliases: Sequence[str]) -> _Call[dict[str, Any]]:
    try:
        files = {
            "description": ("prompt.json", (folder / "prompt.json").read_bytes()),
            "tensors": ("prompt.safetensors", (folder / "prompt.safetensors").read_bytes()),
        }
    except OSError as error:
        raise UsageError(
            f"{folder} is not an artifact that can be read.", "Name the folder `prompt` of a run."
        ) from error
    form = {"data": {"name": name, "alias": list(aliases)}, "files": files}
    return _Call("POST", "/v1/prompts", dict, form)


def _change(method: str, name: str, rest: str = "", **body: Any) -> _Call[dict[str, Any]]:
    path = f"/v1/prompts/{quote(name, safe='')}{rest}"
    return _Call(method, path, dict, {"json": body} if body else {})


def _alias(method: str, name: str, alias: str, **body: Any) -> _Call[dict[str, Any]]:
    return _change(method, name, f"/aliases/{quote(alias, safe='')}", **body)


_MODELS: _Call[list[str]] = _Call(
    "GET", "/v1/models", lambda value: [card["id"] for card in value["data"]]
)


def _writing(prompt: str, text: Text, options: Mapping[str, Any]) -> dict[str, Any]:
    asked = {"inputs": dict(text)} if isinstance(text, Mapping) else {"prompt": text}
    return {"model": prompt, **asked, **options, "stream": True}


def _piece(line: str) -> str | None:
    """The new text in a line of a stream; None in any other.

    Raises:
        ServingError: the line tells of a failure, or is none of a stream of ours.
    """
    if not line.startswith("data: ") or line == "data: [DONE]":
        return None
    try:
        event = json.loads(line.removeprefix("data: "))
        if "error" in event:
            raise ServingError(str(event["error"]["message"]))
        return "".join(choice["text"] for choice in event["choices"])
    except _STRANGE as error:
        raise _stranger() from error


def _read(call: _Call[T], response: httpx2.Response) -> T:
    _check(response)
    try:
        return call.read(response.json())
    except _STRANGE as error:
        raise _stranger() from error


def _check(response: httpx2.Response) -> None:
    if response.is_success:
        return
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The server answered with the status {response.status_code}."
    raise ServingError(message)


def _stranger() -> ServingError:
    return ServingError(
        "The server answered with something else than this API does.",
        "Is another program at this address? Start a server with: softprompt serve",
    )


def _unreachable(url: str, error: Exception) -> ServingError:
    return ServingError(
        f"No answer from {url} ({type(error).__name__}).",
        "Is the server running? Start one with: softprompt serve",
    )


def _made(kind: str, url: str, key: str | None, timeout: float) -> Any:
    """A client of the library.

    Raises:
        UsageError: the library is missing, the address is none, or the key cannot be one.
    """
    library = _library()
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError("The key is none: it has characters that no key has.", "Copy it again.")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return getattr(library, kind)(base_url=url, headers=headers, timeout=timeout)
    except library.InvalidURL as error:
        raise UsageError(
            f"{url} is no address of a server ({error}).",
            "Give a port, host:port, or an address such as http://127.0.0.1:8000.",
        ) from error


def _library() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise UsageError(
            "Asking a server needs httpx2, which is not installed.",
            "Run: pip install 'softprompt[serve]'",
        ) from error
    return httpx2


class Client:
    """A connection to a server.

    Args:
        place: port, host with port, or address.
        key: an API key, where the server has any.
        timeout: seconds without a sign of life.

    Every method raises `ServingError` with the server's own sentence.
    """

    def __init__(self, place: str | int, key: str | None = None, timeout: float = 120.0) -> None:
        self._library = _library()
        self.url = server_url(place)
        self._http = _made("Client", self.url, key, timeout)

    def models(self) -> list[str]:
        """The base model and every prompt."""
        return self._send(_MODELS)

    def ask(self, prompt: str, text: Text, **options: Any) -> Reply:
        """One answer; options are fields of `/v1/tasks`."""
        return self.tasks([prompt], text, **options)[0]

    def tasks(self, prompts: Sequence[str], text: Text, **options: Any) -> list[Reply]:
        """The answers of several prompts about one text."""
        return self._send(_tasks(prompts, text, options))

    def classify(
        self, prompt: str, texts: Sequence[Text], **options: Any
    ) -> list[dict[str, float]]:
        """The probability of every label, for each text."""
        return self._send(_classify(prompt, texts, options))

    def stream(self, prompt: str, text: Text, **options: Any) -> Iterator[str]:
        """An answer in parts, as it is written; options are fields of `/v1/completions`."""
        body = _writing(prompt, text, options)
        try:
            with self._http.stream("POST", "/v1/completions", json=body) as response:
                if not response.is_success:
                    response.read()
                _check(response)
                for line in response.iter_lines():
                    if piece := _piece(line):
                        yield piece
        except self._library.HTTPError as error:
            raise _unreachable(self.url, error) from error

    def upload(self, name: str, folder: str | Path, aliases: Sequence[str] = ()) -> dict[str, Any]:
        """Publishes an artifact; returns the prompt's card."""
        return self._send(_upload(name, Path(folder), aliases))

    def alias(self, name: str, alias: str, version: int) -> dict[str, Any]:
        """Points an alias to a version; returns the prompt's card."""
        return self._send(_alias("PUT", name, alias, version=version))

    def unalias(self, name: str, alias: str) -> None:
        """Removes an alias."""
        self._send(_alias("DELETE", name, alias))

    def rollback(self, name: str) -> dict[str, Any]:
        """Goes back to the version before; returns the prompt's card."""
        return self._send(_change("POST", name, "/rollback"))

    def remove(self, name: str) -> None:
        """Removes a prompt."""
        self._send(_change("DELETE", name))

    def close(self) -> None:
        """Ends the connection."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: _Call[T]) -> T:
        try:
            return _read(call, self._http.request(call.method, call.path, **call.body))
        except self._library.HTTPError as error:
            raise _unreachable(self.url, error) from error


class AsyncClient:
    """The same in an event loop; leaving a stream early cancels its answer.

    Args:
        place, key, timeout: as for `Client`.
    """

    def __init__(self, place: str | int, key: str | None = None, timeout: float = 120.0) -> None:
        self._library = _library()
        self.url = server_url(place)
        self._http = _made("AsyncClient", self.url, key, timeout)

    async def models(self) -> list[str]:
        """The base model and every prompt."""
        return await self._send(_MODELS)

    async def ask(self, prompt: str, text: Text, **options: Any) -> Reply:
        """One answer; options are fields of `/v1/tasks`."""
        return (await self.tasks([prompt], text, **options))[0]

    async def tasks(self, prompts: Sequence[str], text: Text, **options: Any) -> list[Reply]:
        """The answers of several prompts about one text."""
        return await self._send(_tasks(prompts, text, options))

    async def classify(
        self, prompt: str, texts: Sequence[Text], **options: Any
    ) -> list[dict[str, float]]:
        """The probability of every label, for each text."""
        return await self._send(_classify(prompt, texts, options))

    async def stream(self, prompt: str, text: Text, **options: Any) -> AsyncIterator[str]:
        """An answer in parts, as it is written; options are fields of `/v1/completions`."""
        body = _writing(prompt, text, options)
        try:
            async with self._http.stream("POST", "/v1/completions", json=body) as response:
                if not response.is_success:
                    await response.aread()
                _check(response)
                async for line in response.aiter_lines():
                    if piece := _piece(line):
                        yield piece
        except self._library.HTTPError as error:
            raise _unreachable(self.url, error) from error

    async def upload(
        self, name: str, folder: str | Path, aliases: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Publishes an artifact; returns the prompt's card."""
        return await self._send(_upload(name, Path(folder), aliases))

    async def alias(self, name: str, alias: str, version: int) -> dict[str, Any]:
        """Points an alias to a version; returns the prompt's card."""
        return await self._send(_alias("PUT", name, alias, version=version))

    async def unalias(self, name: str, alias: str) -> None:
        """Removes an alias."""
        await self._send(_alias("DELETE", name, alias))

    async def rollback(self, name: str) -> dict[str, Any]:
        """Goes back to the version before; returns the prompt's card."""
        return await self._send(_change("POST", name, "/rollback"))

    async def remove(self, name: str) -> None:
        """Removes a prompt."""
        await self._send(_change("DELETE", name))

    async def close(self) -> None:
        """Ends the connection."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _send(self, call: _Call[T]) -> T:
        try:
            response = await self._http.request(call.method, call.path, **call.body)
        except self._library.HTTPError as error:
            raise _unreachable(self.url, error) from error
        return _read(call, response)
