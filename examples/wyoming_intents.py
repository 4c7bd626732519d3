"""Prints the intents of a command, as Home Assistant gets them:
python examples/wyoming_intents.py [HOST:PORT] [TEXT]."""

import asyncio
import sys

from wyoming.asr import Transcript
from wyoming.client import AsyncTcpClient
from wyoming.intent import Intent, IntentsStart

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:10400"
text = sys.argv[2] if len(sys.argv) > 2 else "turn off the kitchen lights"


async def main():
    host, _, port = address.partition(":")
    async with AsyncTcpClient(host, int(port)) as client:
        await client.write_event(Transcript(text).event())
        while event := await client.read_event():
            if Intent.is_type(event.type):
                intent = Intent.from_event(event)
                print(intent.name, {each.name: each.value for each in intent.entities})
            elif not IntentsStart.is_type(event.type):
                return


asyncio.run(main())
