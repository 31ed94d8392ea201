"""The official client of OpenAI, unchanged, against the real engine."""

from __future__ import annotations

import json
import re

import openai
import pytest
from serving.http.running import BASE, Running
from tiny import tiny_backbone

from softprompt.serving import Request

RATINGS = {"pos", "neg", "none"}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_models_are_the_base_and_a_card_for_each_prompt(client: openai.OpenAI) -> None:
    cards = {card.id: card for card in client.models.list()}
    assert list(cards) == [BASE, "rating", "story"]
    assert cards[BASE].parent is None  # type: ignore[attr-defined]
    assert cards["story"].parent == cards["story"].root == BASE  # type: ignore[attr-defined]
    assert client.models.retrieve("rating@1").id == "rating@1"
    with pytest.raises(openai.NotFoundError, match="Did you mean 'rating'"):
        client.models.retrieve("ratin")


def test_a_completion_is_the_engines_answer(client: openai.OpenAI, tiny: Running) -> None:
    wanted = tiny.service.engine.submit(Request(prompt="story", text="late parcel")).result(60)
    found = client.completions.create(model="story", prompt="late parcel")
    assert found.object == "text_completion"
    assert found.choices[0].text == wanted.text
    assert found.choices[0].finish_reason == wanted.finish
    assert found.prompt_version == "story@1"  # type: ignore[attr-defined]
    usage = found.usage
    assert usage is not None
    assert usage.prompt_tokens == wanted.prompt_tokens
    assert usage.total_tokens == wanted.prompt_tokens + wanted.completion_tokens


def test_several_texts_and_several_answers(client: openai.OpenAI) -> None:
    texts = ["late", "great coffee"]
    alone = [
        client.completions.create(model="story", prompt=text).choices[0].text for text in texts
    ]
    found = client.completions.create(model="story", prompt=texts, n=2)
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in found.choices] == [alone[0]] * 2 + [alone[1]] * 2
    sampled = [
        client.completions.create(model="story", prompt="late", n=3, temperature=2, seed=5)
        for _ in range(2)
    ]
    answers = [[choice.text for choice in one.choices] for one in sampled]
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 1, "each answer has a seed of its own"


def test_a_version_is_asked_by_its_number(client: openai.OpenAI) -> None:
    found = [
        client.completions.create(model=model, prompt="late parcel")
        for model in ("rating", "rating@2", "rating@1")
    ]
    versions = [one.prompt_version for one in found]  # type: ignore[attr-defined]
    assert versions == ["rating@2", "rating@2", "rating@1"]
    chances = [one.choices[0].probabilities for one in found]  # type: ignore[attr-defined]
    assert chances[0] == pytest.approx(chances[1])
    assert chances[0] != pytest.approx(chances[2])


def test_a_chat_reads_the_last_user_message(client: openai.OpenAI) -> None:
    wanted = client.completions.create(model="rating", prompt="late parcel").choices[0]
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "great coffee"},
        {"role": "assistant", "content": "pos"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "late "}, {"type": "text", "text": "parcel"}],
        },
    ]
    found = client.chat.completions.create(model="rating", messages=messages)  # type: ignore[arg-type]
    choice = found.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", wanted.text)
    assert wanted.text in RATINGS
    probabilities = choice.probabilities  # type: ignore[attr-defined]
    assert set(probabilities) == RATINGS
    assert sum(probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("model", ["story", "rating", BASE])
def test_a_streamed_completion_is_the_whole_one_in_parts(client: openai.OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt="late parcel", max_tokens=7)
    parts = list(
        client.completions.create(
            model=model,
            prompt="late parcel",
            max_tokens=7,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(part.choices[0].text for part in parts[:-1]) == whole.choices[0].text
    assert [p.choices[0].finish_reason for p in parts[:-1]] == [None] * (len(parts) - 2) + [
        whole.choices[0].finish_reason
    ]
    assert parts[-1].choices == []
    assert parts[-1].usage is not None
    assert whole.usage is not None
    assert parts[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len({part.id for part in parts}) == 1


def test_a_streamed_chat_is_the_whole_one_in_parts(client: openai.OpenAI) -> None:
    messages = user("late parcel")
    whole = client.chat.completions.create(model="story", messages=messages)  # type: ignore[call-overload]
    parts = list(
        client.chat.completions.create(model="story", messages=messages, stream=True)  # type: ignore[call-overload]
    )
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert text == whole.choices[0].message.content
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert all(part.usage is None for part in parts)


def test_a_stream_ends_as_clients_expect(tiny: Running) -> None:
    body = {"model": "story", "prompt": "late", "stream": True}
    with tiny.http() as http, http.stream("POST", "/v1/completions", json=body) as response:
        content = response.read().decode()
    assert response.headers["content-type"].startswith("text/event-stream")
    events = content.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all("usage" not in json.loads(event.removeprefix("data: ")) for event in events[:-2])


def test_the_answers_form_can_be_given(client: openai.OpenAI, tiny: Running) -> None:
    schema = {
        "type": "object",
        "properties": {"stars": {"enum": [1, 2, 3]}},
        "required": ["stars"],
        "additionalProperties": False,
    }
    found = client.chat.completions.create(
        model="story",
        messages=user("late"),  # type: ignore[arg-type]
        max_tokens=40,
        response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
    )
    assert json.loads(found.choices[0].message.content or "")["stars"] in (1, 2, 3)
    for extra in ({"guided_regex": "[ab]{3}c"}, {"structured_outputs": {"regex": "[ab]{3}c"}}):
        text = client.completions.create(model="story", prompt="late", extra_body=extra)
        assert re.fullmatch("[ab]{3}c", text.choices[0].text)
    chosen = client.completions.create(
        model="story", prompt="late", extra_body={"guided_choice": ["east", "west"]}
    )
    assert chosen.choices[0].text in ("east", "west")


def test_a_stop_text_ends_the_answer(client: openai.OpenAI) -> None:
    text = client.completions.create(model="story", prompt="late parcel").choices[0].text
    stop = text[2]
    found = client.completions.create(model="story", prompt="late parcel", stop=stop).choices[0]
    assert found.text == text.partition(stop)[0]
    assert found.finish_reason == "stop"


def test_the_text_around_a_prompt_is_the_requests_own(client: openai.OpenAI) -> None:
    asked = {"model": "rating", "prompt": "late parcel"}
    one, other = (
        client.completions.create(**asked, extra_body=extra)  # type: ignore[call-overload]
        for extra in ({}, {"template": "{text}\nStars: {answer}"})
    )
    assert one.choices[0].probabilities != pytest.approx(other.choices[0].probabilities)


def test_the_base_model_reads_a_whole_text(client: openai.OpenAI) -> None:
    found = client.completions.create(model=BASE, prompt="great coffee and", max_tokens=3)
    assert found.usage is not None
    wanted = len(tiny_backbone().encode("great coffee and")) + 1
    assert found.usage.prompt_tokens == wanted
    assert found.prompt_version is None  # type: ignore[attr-defined]
    with pytest.raises(openai.BadRequestError, match="chat"):
        client.chat.completions.create(model=BASE, messages=user("late"))  # type: ignore[arg-type]


def test_errors_are_those_of_the_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Allowed: rating, story, tiny") as unknown:
        client.completions.create(model="nothing", prompt="late")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="takes") as long:
        client.completions.create(model="story", prompt="late parcel " * 200)
    assert long.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="logprobs is not supported"):
        client.completions.create(model="story", prompt="late", logprobs=3)
    with pytest.raises(openai.BadRequestError, match="prompt"):
        client.completions.create(model="story", prompt=[5, 6, 330])
