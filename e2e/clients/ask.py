"""Asks one question through the packages that people use, pointed at a gateway by its base URL alone.

    python ask.py openai|anthropic BASE_URL [--stream]

The key stands in the environment, as KEY. Prints one line of JSON: the text, and in how many parts it came; or the
error's class and status. Retries nothing: what has to be tried again, the gateway does.
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
        return [answer.choices[0].message.content]
    return [chunk.choices[0].delta.content for chunk in answer if chunk.choices and chunk.choices[0].delta.content]


def anthropic(base_url, key, stream):
    from anthropic import Anthropic

    client = Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=30)
    question = {"model": "stand-in", "max_tokens": 16, "messages": [{"role": "user", "content": "say hello"}]}
    if not stream:
        return [client.messages.create(**question).content[0].text]
    with client.messages.stream(**question) as answer:
        return list(answer.text_stream)


def main():
    package, base_url, *flags = sys.argv[1:]
    ask = {"openai": openai, "anthropic": anthropic}[package]
    try:
        parts = ask(base_url, os.environ["KEY"], "--stream" in flags)
        said = {"text": "".join(parts), "parts": len(parts)}
    except Exception as error:  # What a client makes of an answer is what is asked for here.
        said = {"error": type(error).__name__, "status": getattr(error, "status_code", None)}
    print(json.dumps(said))


main()
