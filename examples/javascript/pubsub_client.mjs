// A client of Floe's WebSocket `/ws`: subscribes, publishes one event, and ends when it has received that event.
//
//   npm ci
//   node pubsub_client.mjs ws://localhost:8080/ws

import { randomUUID } from "node:crypto";

import WebSocket from "ws";

const PATIENCE_MS = 30_000;

const uri = process.argv[2] ?? "ws://localhost:8080/ws";
const topic = process.argv[3] ?? "orders";

/** Makes the topic over HTTP; that it is there already is fine. */
async function makeTopic() {
  const url = new URL("/topics", uri.replace(/^ws/, "http"));
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: topic }),
  });
  if (!answer.ok && answer.status !== 409) {
    throw new Error(`POST /topics answered ${answer.status}: ${await answer.text()}`);
  }
  console.log("topic:", answer.ok ? await answer.json() : "there already");
}

/** Resolves once the event published here has come back. */
function publishAndSee() {
  const messageId = randomUUID();
  let acknowledged = false;
  let seen = false;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(uri);
    const send = (frame) => socket.send(JSON.stringify(frame));
    const patience = setTimeout(() => reject(new Error("the event did not come back in time")), PATIENCE_MS);

    socket.on("open", () =>
      send({
        type: "subscribe",
        topic,
        client_id: `javascript-${randomUUID()}`,
        last_n: 0,
        request_id: "subscribe-1",
      }),
    );
    socket.on("message", (data) => {
      const frame = JSON.parse(data);
      console.log("received:", frame);
      if (frame.type === "error") {
        reject(new Error(`the server refused: ${frame.error.code}: ${frame.error.message}`));
      } else if (frame.type === "ack" && frame.request_id === "subscribe-1") {
        send({
          type: "publish",
          topic,
          message: { id: messageId, payload: { order_id: "ORD-123", amount: 99.5, currency: "USD" } },
          request_id: "publish-1",
        });
      } else if (frame.type === "ack" && frame.request_id === "publish-1") {
        acknowledged = true;
      } else if (frame.type === "event" && frame.message.id === messageId) {
        seen = true;
      }
      if (acknowledged && seen) {
        clearTimeout(patience);
        socket.close();
      }
    });
    socket.on("error", reject);
    socket.on("close", () => (acknowledged && seen ? resolve() : reject(new Error("the server closed the socket"))));
  });
}

try {
  await makeTopic();
  await publishAndSee();
  console.log("the event came back");
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
