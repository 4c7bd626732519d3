"""Asks a server through OpenAI's client, streamed: python examples/openai_chat.py [URL] [TEXT]."""

import os
import sys

from openai import OpenAI

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
text = sys.argv[2] if len(sys.argv) > 2 else "turn off the kitchen lights"

client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("FEDERATION_API_KEY", "none"))
stream = client.chat.completions.create(
    model="home", messages=[{"role": "user", "content": text}], stream=True
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
