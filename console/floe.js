// Floe's browser client: live events that survive lost connections. No dependencies; an ES module.
//
//   import { connectEvents, subscribe } from "/floe.js";
//
//   // what was stored, as it becomes readable
//   const live = connectEvents({
//     filter: { event_type: "purchase", user_id: "u-1" },   // both optional
//     onEvent: (event) => console.log(event.id, event.event_type, event.data, event.cursor),
//     onState: ({ state }) => console.log(state),
//   });
//   live.cursor;   // keep it, and pass it as `after` to go on there another day
//   live.close();
//
//   // any topic
//   const orders = subscribe({ topic: "orders", from: "earliest", onEvent: ({ message }) => console.log(message.payload) });
//
// Both connect at once and reconnect by themselves, with growing waits that are spread at random so that the clients
// of a server that comes back don't all knock at once. They resume behind the newest event they have handed over:
// none is lost and none handed over twice, as long as the server still keeps it.
//
// States, as `onState` is told them, each with what is known about it:
//   connecting {attempt}           on the way
//   open       {}                  events flow
//   waiting    {retryInMs, reason} the connection was lost or could not be made; tries again by itself
//   failed     {reason}            the server refuses, and would again; it has given up
//   closed     {}                  by close()

/** The first wait; doubled with each attempt that fails. */
const FIRST_WAIT_MS = 250;
/** The longest wait. */
const LONGEST_WAIT_MS = 15_000;
/** A connection that lasted this long counts as good: the next wait is the first again. */
const GOOD_AFTER_MS = 5_000;
/** How long a server may take to answer before it counts as lost. */
const ANSWER_WITHIN_MS = 10_000;
/** How often a quiet topic's connection is tried. */
const PING_EVERY_MS = 20_000;

/** What the server will go on refusing. */
class Refused extends Error {}

/**
 * Follows the events of the store, each once, after its row is readable.
 *
 * @param {object} options
 * @param {string} [options.url] the server, as `http://host:port`; the page's own without it
 * @param {string|number} [options.after] a cursor to go on behind; without it, from now on
 * @param {number} [options.recent] without `after`: hand over this many of the newest events first, oldest first
 * @param {{event_type?: string, user_id?: string}} [options.filter] only these
 * @param {(event: object) => void} options.onEvent
 *   `{id, event_type, user_id, data, timestamp, stored_at, cursor}`
 * @param {(state: object) => void} [options.onState] see above
 * @returns {{close(): void, readonly cursor: string|undefined, readonly state: string}}
 */
export function connectEvents({ url, after, recent = 0, filter = {}, onEvent, onState }) {
  const base = baseOf(url);
  const wanted = Object.entries(filter).filter(([, value]) => value);
  let cursor = after === undefined ? undefined : String(after);

  const handOver = (event) => {
    guarded(onEvent, event);
    cursor = String(event.cursor);
  };

  return keepOpen({
    onState,
    cursor: () => cursor,
    prepare: async () => {
      if (cursor === undefined) {
        // "now" has to be a place: one that is only meant would move while a connection is down
        const newest = [["order", "newest"], ["limit", String(Math.max(recent, 1))]];
        const page = await getJson(address(base, "/v1/events", [...wanted, ...newest]));
        const oldestFirst = page.events.reverse();
        if (recent > 0) oldestFirst.slice(-recent).forEach(handOver);
        cursor = String(oldestFirst.at(-1)?.cursor ?? 0);
      }
      return socketAddress(address(base, "/v1/ws/events", [...wanted, ["after", cursor]]));
    },
    onOpen: ({ ready }) => ready(),
    onMessage: (frame) => handOver(frame),
  });
}

/**
 * Subscribes to a topic.
 *
 * @param {object} options
 * @param {string} options.topic
 * @param {string} [options.url] the server, as `http://host:port`; the page's own without it
 * @param {string} [options.clientId] the subscription's name; a random one without it
 * @param {"earliest"|"latest"|{cursor: string}|{time: string}} [options.from] where it begins; "latest" without it
 * @param {{key?: string, headers?: object}} [options.filter] only these
 * @param {(event: object) => void} options.onEvent `{topic, message: {id, payload}, ts, partition, offset, cursor, key?}`
 * @param {(notice: object) => void} [options.onNotice] what the server told besides: `{code, message, …}`
 * @param {(state: object) => void} [options.onState] see above
 * @returns {{close(): void, readonly cursor: string|undefined, readonly state: string}}
 */
export function subscribe({ topic, url, clientId, from = "latest", filter, onEvent, onNotice, onState }) {
  const base = baseOf(url);
  const name = clientId ?? `floe-js-${randomText()}`;
  let cursor = from.cursor;
  let asked = 0;
  let flowing = false;

  const ask = ({ send }) => {
    // what the subscription before this one still sends is not looked at until this one is in force
    flowing = false;
    asked += 1;
    const start = cursor === undefined ? from : { cursor };
    send({ type: "subscribe", topic, client_id: name, from: start, filter, request_id: `subscribe-${asked}` });
  };

  return keepOpen({
    onState,
    cursor: () => cursor,
    pings: true,
    prepare: async () => {
      if (cursor === undefined && from === "latest") {
        const path = `/topics/${encodeURIComponent(topic)}/records`;
        const page = await getJson(address(base, path, [["offset", "latest"], ["limit", "1"]]));
        cursor = page.next.cursor;
      }
      return socketAddress(address(base, "/ws", []));
    },
    onOpen: ask,
    onMessage: (frame, link) => {
      const isAnswer = frame.request_id === `subscribe-${asked}`;
      if (frame.type === "ack" && isAnswer) {
        flowing = true;
        link.ready();
      } else if (frame.type === "event" && flowing) {
        guarded(onEvent, frame);
        cursor = frame.cursor;
      } else if (frame.type === "error" && frame.error.code === "SLOW_CONSUMER") {
        // what was skipped is read again from where we are
        guarded(onNotice, frame.error);
        ask(link);
      } else if (frame.type === "error" && isAnswer) {
        throw new Refused(`${frame.error.code}: ${frame.error.message}`);
      } else if (frame.type === "error") {
        guarded(onNotice, frame.error);
      } else if (frame.type === "info" && frame.msg === "topic_deleted") {
        throw new Refused(`the topic '${topic}' was deleted`);
      }
    },
  });
}

/** Keeps a WebSocket open until it is closed or refused; returns the handle that callers get. */
function keepOpen({ prepare, onOpen, onMessage, onState, cursor, pings = false }) {
  let state = "connecting";
  let attempt = 0;
  let link = null;
  let retry = null;

  const say = (name, facts = {}) => {
    state = name;
    guarded(onState, { state: name, ...facts });
  };
  const ended = () => state === "closed" || state === "failed";

  const connect = async () => {
    clearTimeout(retry);
    retry = null;
    say("connecting", { attempt });
    try {
      const to = await prepare();
      if (!ended()) link = openLink(to, { onOpen, onMessage, pings, say, lost });
    } catch (error) {
      lost(error);
    }
  };

  const lost = (error, goodForMs = 0) => {
    link = null;
    if (ended()) return;
    if (error instanceof Refused) return stop("failed", { reason: error.message });
    attempt = goodForMs >= GOOD_AFTER_MS ? 0 : attempt;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 16));
    const retryInMs = Math.round(wait * (0.5 + Math.random() / 2));
    attempt += 1;
    retry = setTimeout(connect, retryInMs);
    say("waiting", { retryInMs, reason: error.message });
  };

  // the network is back: no reason to sit out the wait
  const online = () => retry !== null && connect();
  globalThis.addEventListener?.("online", online);

  const stop = (name, facts) => {
    if (ended()) return;
    globalThis.removeEventListener?.("online", online);
    clearTimeout(retry);
    retry = null;
    say(name, facts);
    link?.end();
    link = null;
  };

  connect();
  return {
    close: () => stop("closed"),
    get cursor() { return cursor(); },
    get state() { return state; },
  };
}

/** One connection. Calls `lost` once, when it is over. */
function openLink(to, { onOpen, onMessage, pings, say, lost }) {
  const socket = new WebSocket(to);
  let openedAt = null;
  let over = false;
  let pulse = null;

  const end = (error) => {
    if (over) return;
    over = true;
    clearTimeout(pulse);
    socket.close();
    if (error) lost(error, openedAt === null ? 0 : performance.now() - openedAt);
  };
  // a connection over which nothing comes is asked, and given up without an answer
  const listen = (silentSince) => {
    clearTimeout(pulse);
    if (over || (openedAt !== null && !pings)) return;
    const patience = silentSince || openedAt === null ? ANSWER_WITHIN_MS : PING_EVERY_MS;
    pulse = setTimeout(() => {
      if (silentSince || openedAt === null) {
        end(new Error("the server does not answer"));
      } else {
        self.send({ type: "ping" });
        listen(true);
      }
    }, patience);
  };
  const self = {
    end,
    send: (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message)),
    ready: () => over || say("open"),
  };

  socket.onopen = () => {
    openedAt = performance.now();
    listen(false);
    onOpen(self);
  };
  socket.onmessage = ({ data }) => {
    if (over) return;
    listen(false);
    try {
      onMessage(JSON.parse(data), self);
    } catch (error) {
      end(error);
    }
  };
  socket.onclose = ({ code, reason }) => end(new Error(reason || `the connection was closed (${code})`));
  listen(false);
  return self;
}

/** An error in a callback is the page's to see; it ends neither the connection nor what comes after. */
function guarded(callback, argument) {
  try {
    callback?.(argument);
  } catch (error) {
    globalThis.reportError ? reportError(error) : console.error(error);
  }
}

/** 4xx answers other than "later" are refusals. */
async function getJson(from) {
  const answer = await fetch(from, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const words = problem.detail ?? `the server answered ${answer.status}`;
  const later = answer.status >= 500 || answer.status === 408 || answer.status === 429;
  throw later ? new Error(words) : new Refused(words);
}

const baseOf = (url) => new URL(url ?? globalThis.location.origin);

function address(base, path, parameters) {
  const to = new URL(path, base);
  parameters.forEach(([name, value]) => to.searchParams.set(name, value));
  return to;
}

function socketAddress(to) {
  to.protocol = to.protocol === "https:" ? "wss:" : "ws:";
  return to;
}

/** Unlike `crypto.randomUUID`, also in pages that came over plain HTTP. */
const randomText = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
