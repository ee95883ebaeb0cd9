"""Asks one question through the packages that people use, pointed at a server by its base URL alone.

    python ask.py openai|anthropic|requests|httpx|httpx2|slack|grpc BASE_URL [--stream] [--echo]

The key stands in the environment, as KEY. Prints one line of JSON: the text, and in how many parts it came; or the
error's class and status. `--echo` adds what the answers said the key was. Retries nothing: what has to be tried again,
the gateway does.
"""

import json
import os
import sys


def openai(base_url, key, stream):
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=30)
    answer = client.chat.completions.create(
        model="stand-in", messages=[{"role": "user", "content": "say hello"}], stream=stream
    )
    if not stream:
        return [(answer.choices[0].message.content, answer.id)]
    return [(chunk.choices[0].delta.content, chunk.id) for chunk in answer]


def anthropic(base_url, key, stream):
    from anthropic import Anthropic

    client = Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=30)
    question = {"model": "stand-in", "max_tokens": 16, "messages": [{"role": "user", "content": "say hello"}]}
    if not stream:
        answer = client.messages.create(**question)
        return [(answer.content[0].text, answer.id)]
    with client.messages.stream(**question) as answer:
        return [(text, answer.current_message_snapshot.id) for text in answer.text_stream]


def requests(base_url, key, stream):
    import requests

    # The key in three more places than the usual one.
    everywhere = {"params": {"key": key}, "json": {"key": key}, "headers": {"authorization": f"Bearer {key}"}}
    answer = requests.post(f"{base_url}/echo", timeout=30, **everywhere)
    answer.raise_for_status()
    return [(answer.reason, answer.json()["seen"])]


def httpx(base_url, key, stream, http2=False):
    import httpx

    with httpx.Client(http2=http2, timeout=30) as client:
        answer = client.post(f"{base_url}/echo", data={"key": key}, headers={"authorization": f"Bearer {key}"})
        answer.raise_for_status()
        return [(answer.http_version, answer.json()["seen"])]


def httpx2(base_url, key, stream):
    return httpx(base_url, key, stream, http2=True)


def slack(base_url, key, stream):
    from slack_sdk import WebClient

    answer = WebClient(token=key, base_url=f"{base_url}/api/", timeout=30).chat_postMessage(channel="C1", text="hello")
    return [(answer["text"], answer["seen"])]


def grpc(base_url, key, stream):
    import grpc

    # As a generated stub calls it, but for the schema: messages are their text.
    target = base_url.removeprefix("https://")
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(), grpc.access_token_call_credentials(key)
    )
    with grpc.secure_channel(target, credentials) as channel:
        if not stream:
            return [(channel.unary_unary("/keyherd.Chat/Ask")(b"say", timeout=30).decode(), key)]
        return [(text.decode(), key) for text in channel.unary_stream("/keyherd.Chat/Tell")(b"say", timeout=30)]


PACKAGES = {function.__name__: function for function in (openai, anthropic, requests, httpx, httpx2, slack, grpc)}


def main():
    package, base_url, *flags = sys.argv[1:]
    try:
        answers = PACKAGES[package](base_url, os.environ["KEY"], "--stream" in flags)
        said = {"text": "".join(text for text, _ in answers), "parts": len(answers)}
        if "--echo" in flags:
            said["echo"] = sorted({key for _, key in answers})
    except Exception as error:  # What a client makes of an answer is what is asked for here.
        said = {"error": type(error).__name__, "status": getattr(error, "status_code", None)}
        print(repr(error), file=sys.stderr)
    print(json.dumps(said))


main()
