"""Sends a command by MQTT: python examples/mqtt_command.py [HOST:PORT] [TEXT]."""

import asyncio
import json
import secrets
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

broker = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:1883"
text = sys.argv[2] if len(sys.argv) > 2 else "turn off the kitchen lights"


async def main():
    host, _, port = broker.partition(":")
    version = aiomqtt.ProtocolVersion.V5
    async with aiomqtt.Client(host, int(port or 1883), protocol=version) as client:
        mine = Properties(PacketTypes.PUBLISH)
        mine.ResponseTopic = f"federation/replies/{secrets.token_hex(4)}"
        mine.CorrelationData = b"1"
        await client.subscribe(mine.ResponseTopic, qos=1)
        await client.publish("federation/commands", text, qos=1, properties=mine)
        async for message in client.messages:
            print(json.loads(message.payload)["text"])
            return


asyncio.run(main())
