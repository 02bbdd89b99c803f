"""What an API server over Kafka does with an event: FastAPI takes it, aiokafka writes it, and the answer comes when all in-sync
replicas have it. Idempotent, and batches wait as long as Floe's."""

import json
import os
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BROKER_URL"], acks="all", enable_idempotence=True, linger_ms=1
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.get("/health/ready")
async def ready():
    return {"status": "ok"}


@app.post("/topics/{topic}/records", status_code=201)
async def write(topic: str, request: Request):
    event = await request.json()
    value = json.dumps(event["value"]).encode()
    written = await request.app.state.producer.send_and_wait(topic, value)
    return {"topic": topic, "partition": written.partition, "offset": written.offset, "timestamp": written.timestamp}
