#!/usr/bin/env python3
"""A client of Floe's WebSocket `/ws`: subscribes, publishes one event, and ends when it has received that event.

    pip install websockets
    python pubsub_client.py ws://localhost:8080/ws
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlsplit

import websockets

TOPIC = "orders"
PATIENCE_SECONDS = 30


def make_topic(uri: str, topic: str) -> None:
    """Makes the topic over HTTP; that it is there already is fine."""
    parts = urlsplit(uri)
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    request = urllib.request.Request(
        f"{scheme}://{parts.netloc}/topics",
        data=json.dumps({"name": topic}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            print("topic:", response.read().decode())
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
        print("topic: there already")


async def publish_and_see(uri: str, topic: str) -> None:
    """Returns once the event published here has come back."""
    async with websockets.connect(uri) as websocket:
        await websocket.send(
            json.dumps(
                {
                    "type": "subscribe",
                    "topic": topic,
                    "client_id": f"python-{uuid.uuid4()}",
                    "last_n": 0,
                    "request_id": "subscribe-1",
                }
            )
        )
        # The acknowledgement of a subscription comes before its first event.
        ack = json.loads(await websocket.recv())
        print("subscribe:", ack)
        if ack["type"] != "ack" or ack["request_id"] != "subscribe-1":
            raise SystemExit(f"expected an ack, got {ack}")

        message_id = str(uuid.uuid4())
        await websocket.send(
            json.dumps(
                {
                    "type": "publish",
                    "topic": topic,
                    "message": {
                        "id": message_id,
                        "payload": {"order_id": "ORD-123", "amount": 99.5, "currency": "USD"},
                    },
                    "request_id": "publish-1",
                }
            )
        )

        acknowledged = seen = False
        while not (acknowledged and seen):
            frame = json.loads(await websocket.recv())
            print("received:", frame)
            if frame["type"] == "error":
                raise SystemExit(f"the server refused: {frame['error']}")
            if frame["type"] == "ack" and frame["request_id"] == "publish-1":
                acknowledged = True
            if frame["type"] == "event" and frame["message"]["id"] == message_id:
                seen = True


def main() -> None:
    uri = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080/ws"
    topic = sys.argv[2] if len(sys.argv) > 2 else TOPIC
    make_topic(uri, topic)
    asyncio.run(asyncio.wait_for(publish_and_see(uri, topic), PATIENCE_SECONDS))
    print("the event came back")


if __name__ == "__main__":
    main()
