"""OpenAI's API with OpenAI's own client, on a simulated cluster, and what the wire looks like."""

import asyncio
import json

import pytest

from tests.serving.servers import HTTP, make_service, serving, simulated

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def address(micropython, tiny):
    service, watching = make_service(tiny, [simulated(2)])
    with serving(service, watching) as url:
        yield url


@pytest.fixture(scope="module")
def client(address, openai):
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made:
        yield made


def user(text):
    return [{"role": "user", "content": text}]


def test_models_are_listed(client, openai):
    (model,) = client.models.list()
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "federation")
    assert model.meta["n_ctx"] == 512
    assert client.models.retrieve("tiny") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-5")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0.8, "seed": 3},
        {"temperature": 1.5, "top_p": 0.5, "seed": 4},
        {"temperature": 1.5, "top_k": 5, "top_p": 1.0, "seed": 4},
    ],
)
def test_an_answer_is_what_a_run_gives(client, expect, settings):
    expected = expect(PROMPT, 12, **settings)
    extra = {"top_k": settings["top_k"]} if "top_k" in settings else {}
    given = {name: value for name, value in settings.items() if name != "top_k"}
    found = client.chat.completions.create(
        model="tiny", messages=user(PROMPT), max_tokens=12, extra_body=extra, **given
    )
    (choice,) = found.choices
    assert choice.message.content == expected.text and choice.message.role == "assistant"
    assert choice.finish_reason == "length"
    usage = found.usage
    assert usage.prompt_tokens == len(expected.prompt_tokens)
    assert (usage.completion_tokens, usage.total_tokens) == (12, usage.prompt_tokens + 12)


def test_a_streamed_answer_is_the_same(client, expect):
    expected = expect(PROMPT, 12)
    stream = client.chat.completions.create(
        model="tiny", messages=user(PROMPT), max_completion_tokens=12, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == expected.text
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 2) + [
        "length"
    ]
    assert not chunks[-1].choices and chunks[-1].usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in chunks) > 5


def test_completions_whole_and_streamed(client, expect):
    expected = expect(PROMPT, 8).text
    settings = {"model": "tiny", "prompt": PROMPT, "max_tokens": 8}
    assert client.completions.create(**settings).choices[0].text == expected
    assert "".join(
        chunk.choices[0].text for chunk in client.completions.create(stream=True, **settings)
    ) == expected  # fmt: skip
    found = client.completions.create(model="tiny", prompt=[PROMPT], max_tokens=8)
    assert found.choices[0].text == expected


def test_text_ends_before_a_stop_string(client, expect):
    whole = expect(PROMPT, 20).text
    stop = whole[8:11]
    expected = whole[: whole.index(stop)]
    for streamed in (False, True):
        found = client.completions.create(
            model="tiny", prompt=PROMPT, max_tokens=20, stop=["never there", stop],
            stream=streamed,
        )  # fmt: skip
        choices = [c.choices[0] for c in found] if streamed else found.choices
        assert "".join(choice.text for choice in choices) == expected
        assert choices[-1].finish_reason == "stop"


def test_the_wire_of_a_stream(address):
    body = {"messages": user(PROMPT), "max_tokens": 2, "stream": True}
    with HTTP.stream("POST", f"{address}/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    pieces = [json.loads(line[6:]) for line in lines[:-1]]
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert "usage" not in pieces[-1]


def test_what_a_model_ignores_is_said(client, expect):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    messages = [
        {"role": "system", "content": "You are a voice assistant. " * 2000},
        *user("hello"),
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    found = client.chat.completions.create(
        model="any name", messages=messages, tools=tools, max_tokens=3, presence_penalty=0.5,
        frequency_penalty=0, user="conversation", extra_body={"keep_alive": "5m"},
    )  # fmt: skip
    assert found.choices[0].message.content == expect(PROMPT, 3).text
    assert found.model == "tiny"
    assert found.federation == {
        "ignored": ["tools", "presence_penalty", "system messages", "earlier messages"]
    }


def test_a_context_that_is_too_short_is_named_with_both_numbers(client, openai, tiny):
    long = "x y " * 400
    for text, number in ((long, len(tiny.tokenizer.encode(long))), ("x" * 10**5, 10**5)):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="tiny", messages=user(text))
        assert caught.value.code == "context_length_exceeded"
        assert "512 positions" in caught.value.body["message"]
        assert f"has {number} " in caught.value.body["message"]


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": "hello"}, "messages", "Expected `array`, got `str`"),
        ({"messages": [{"content": "x"}]}, "messages[0]", "missing required field `role`"),
        ({"messages": []}, "messages", "none of role user"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content", "got `int`"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages",
            "content of type 'image_url' cannot be given to this model",
        ),
        ({"n": 2}, "n", "n must be 1, got 2"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens must be at least 1, got 0"),
        ({"max_tokens": "5"}, "max_tokens", "Expected `int | null`, got `str`"),
        ({"stop": ["a", ""]}, "stop", "stop must not have an empty text"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"temperature": -1}, None, "temperature must be 0 or more, got -1"),
        ({"top_p": 0}, None, "top-p must be in (0, 1], got 0"),
        ({"seed": -7}, None, "seed must be 0 or more, got -7"),
        (
            {"messages": [{"role": "user", "content": "\ud800"}]},
            None,
            "the body is no JSON object: a surrogate (\\ud800 to \\udfff) stands alone",
        ),
    ],
)
def test_what_is_wrong_is_named(address, change, param, words):
    body = {"messages": user("x"), "max_tokens": 1, **change}
    answer = HTTP.post(f"{address}/v1/chat/completions", content=json.dumps(body))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param and words in error["message"]


def test_other_paths_and_bodies_are_refused_in_the_same_form(address):
    for content in (b"", b"{", b"[]", b"[" * 10**5, b'"x"', b"\xff\xfe"):
        answer = HTTP.post(f"{address}/v1/completions", content=content)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, None)
    assert HTTP.get(f"{address}/v1/chat/completions").status_code == 405
    missing = HTTP.get(f"{address}/v1/embeddings")
    assert missing.status_code == 404 and missing.json()["error"]["code"] == "unknown_url"


def test_home_assistants_agent_for_llama_cpp(address, openai, expect):
    """The calls of its set-up, and of a conversation of two turns, streamed or not."""
    tool = {"name": "HassTurnOn", "description": "Turns on", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": tool}]
    schema = {"name": "answer", "strict": True, "schema": {"type": "object"}}

    async def text_of(created):
        """As it reads a stream: what comes with a finish_reason is not looked at."""
        if not hasattr(created, "__aiter__"):
            return created.choices[0].message.content
        pieces = []
        async for chunk in created:
            if chunk.choices and chunk.choices[0].finish_reason:
                break
            if chunk.choices and chunk.choices[0].delta.content is not None:
                assert not chunk.choices[0].delta.tool_calls
                pieces.append(chunk.choices[0].delta.content)
        return "".join(pieces)

    async def set_up_and_talk():
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="sk-00000000") as client:
            page = await client.with_options(timeout=10.0).models.list()
            (name,) = [model.id async for model in page]
            question = "What is the capital of France?"
            messages = [
                {"role": "system", "content": "You are a helpful assistant."}, *user(question)
            ]  # fmt: skip
            for streamed in (False, True):
                found = await text_of(
                    await client.chat.completions.create(
                        model=name, messages=messages, tools=tools, max_tokens=3, stream=streamed
                    )
                )
                assert found == expect(question, 3).text
            for streamed in (False, True):
                talk = [messages[0]]
                for said in (PROMPT, question):
                    talk += user(said)
                    found = await text_of(
                        await client.chat.completions.create(
                            model=name,
                            messages=talk,
                            tools=tools,
                            max_tokens=5,
                            top_p=1.0,
                            temperature=0.0,
                            user="01J0000000000000000000000",
                            stream=streamed,
                            response_format={"type": "json_schema", "json_schema": schema},
                        )
                    )
                    assert found == expect(said, 5).text
                    talk.append({"role": "assistant", "content": found})

    asyncio.run(set_up_and_talk())
