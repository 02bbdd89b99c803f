// A chat session over a WebSocket: connects and reconnects by itself, and knows every question and what came of it.
//
// The server tells the whole session first on each connection, so what is here is put right each time. A question is sent
// until the server has stored it: under its own id, so that a repeat is the same question.
//
// States, as `onState` is told them, each with what is known about it:
//   connecting {}                  on the way
//   open       {}                  the session was told; questions go out
//   waiting    {retryInMs, reason} the connection was lost or could not be made; tries again by itself
//   failed     {reason}            the server refuses, and would again; it has given up

/** The first wait; doubled with each attempt that fails. */
const FIRST_WAIT_MS = 250;
/** The longest wait. */
const LONGEST_WAIT_MS = 15_000;
/** A connection that lasted this long counts as good: the next wait is the first again. */
const GOOD_AFTER_MS = 5_000;
/** How long a server may take to answer before it counts as lost. */
const ANSWER_WITHIN_MS = 10_000;
/** How often a quiet connection is tried. */
const PING_EVERY_MS = 20_000;

/** What the server will go on refusing. */
class Refused extends Error {}

/**
 * @typedef {object} Turn
 * @property {string} id
 * @property {string} question
 * @property {string} answer what there is of it
 * @property {object[]} sources
 * @property {"sending"|"waiting"|"streaming"|"answered"|"stopped"|"failed"} status
 * @property {string} error why there is no answer
 * @property {boolean} own asked on this page
 * @property {boolean} stored the server has the question
 * @property {boolean} stopping it is to end
 * @property {boolean} retried it was asked anew
 */

/** Whether the answer is still to come. */
export const isRunning = ({ status }) => status === "sending" || status === "waiting" || status === "streaming";

/**
 * Opens a session.
 *
 * @param {object} options
 * @param {string} [options.sessionId] which; a new one without it
 * @param {(state: object) => void} options.onState see above
 * @param {(id: string) => void} options.onSession the session was told
 * @param {() => void} options.onChange something about the turns is different
 * @param {(turn: Turn) => void} options.onFinished an answer is there, or will never be
 * @param {(detail: string) => void} options.onNotice the server complains, about no question in particular
 */
export function openChat({ sessionId, onState, onSession, onChange, onFinished, onNotice }) {
  /** @type {Turn[]} */
  let turns = [];
  let session = sessionId;
  /** Sends a frame; null until the session was told on the connection there is. */
  let send = null;

  const find = (id) => turns.find((turn) => turn.id === id);
  const add = (id, facts) => {
    const turn = { id, question: "", answer: "", sources: [], status: "waiting", error: "", ...facts };
    turns.push(turn);
    return turn;
  };
  // an answer may be a moment faster than its question, which comes another way
  const turnOf = (id) => find(id) ?? add(id);
  const submit = ({ id, question }) => send?.({ type: "query", content: question, request_id: id });

  const stored = (turn) => {
    turn.stored = true;
    if (turn.status === "sending") turn.status = "waiting";
  };
  const write = (turn, answer) => {
    const status = answer ? "streaming" : "waiting";
    if (!isFinal(turn)) Object.assign(turn, { answer, status, error: "", stored: true });
  };
  const finish = (turn, facts) => {
    const isNews = turn.status !== facts.status;
    Object.assign(turn, { error: "", stopping: false }, facts);
    if (isNews) onFinished(turn);
  };

  const frames = {
    session: (frame, link) => {
      session = frame.session_id;
      const before = turns;
      const missed = before.filter(isRunning);
      turns = [...frame.turns, ...frame.running].map(turnTold).map((told) => {
        const turn = before.find(({ id }) => id === told.id);
        // what looks the same stays the same: the button that has the focus, or is about to be pressed
        const isSame = JSON.stringify(turn?.sources) === JSON.stringify(told.sources);
        return Object.assign(turn ?? {}, told, isSame && { sources: turn.sources });
      });
      missed.filter((turn) => turns.includes(turn) && !isRunning(turn)).forEach(onFinished);
      keepOwn(before, turns);
      send = link.send;
      turns.filter(({ status }) => status === "sending").forEach(submit);
      turns.filter((turn) => turn.stopping && isRunning(turn)).forEach(askToStop);
      link.ready();
      onSession(session);
    },
    query: ({ request_id, content }) => stored(Object.assign(turnOf(request_id), { question: content })),
    ack: ({ request_id }) => find(request_id) && stored(find(request_id)),
    delta: ({ request_id, content }) => write(turnOf(request_id), turnOf(request_id).answer + content),
    restart: ({ request_id }) => write(turnOf(request_id), ""),
    answer: ({ request_id, content, sources, status }) =>
      finish(turnOf(request_id), { answer: content, sources: sources ?? [], status, stored: true }),
    error: ({ request_id, detail }) => {
      const turn = find(request_id);
      if (!turn) onNotice(detail);
      else if (!isFinal(turn)) finish(turn, { error: detail, status: "failed" });
    },
  };

  const askToStop = (turn) => {
    turn.stopping = true;
    send?.({ type: "stop", request_id: turn.id });
    onChange();
  };

  const connection = keepOpen({
    address: () => {
      const to = new URL("/chat/ws", location.href);
      if (session) to.searchParams.set("session_id", session);
      return to;
    },
    onMessage: (frame, link) => {
      // what isn't known is for a later page
      if (!Object.hasOwn(frames, frame.type)) return;
      frames[frame.type](frame, link);
      onChange();
    },
    onState: (state) => {
      if (state.state !== "open") send = null;
      onState(state);
    },
  });

  const ask = (question) => {
    const turn = add(randomText(), { question, status: "sending", own: true, stored: false });
    submit(turn);
    onChange();
  };

  return {
    ask,
    /** Asks a question that failed anew. One that the server never had has no trace of its own. */
    retry: (id) => {
      const turn = find(id);
      if (turn.stored) turn.retried = true;
      else turns = turns.filter((other) => other !== turn);
      ask(turn.question);
    },
    /** Ends the answer that is being written: the oldest that isn't complete. */
    stop: () => {
      const turn = turns.find(isRunning);
      if (turn && !turn.stopping) askToStop(turn);
    },
    close: connection.close,
    get turns() { return turns; },
    get sessionId() { return session; },
  };
}

/** Whether it came whole, and stays. A failure doesn't: it may have been about something else, such as stopping. */
const isFinal = ({ status }) => status === "answered" || status === "stopped";
/** A turn as a session frame tells it: one that is over, or one that runs. */
const turnTold = ({ request_id, question, answer, content, sources, status }) => ({
  id: request_id,
  question,
  answer: answer ?? content,
  sources: sources ?? [],
  status: status ?? (content ? "streaming" : "waiting"),
  stored: true,
});

/** Puts questions of this page that the server doesn't tell of back in their places: they failed, or are sent again. */
function keepOwn(before, turns) {
  const isTold = ({ id }) => turns.some((turn) => turn.id === id);
  before.forEach((turn, at) => {
    if (isTold(turn) || !turn.own || isFinal(turn)) return;
    if (turn.status !== "failed") Object.assign(turn, { status: "sending", answer: "" });
    const next = before.slice(at + 1).find(isTold);
    turns.splice(next ? turns.findIndex(({ id }) => id === next.id) : turns.length, 0, turn);
  });
}

/** Keeps a WebSocket open until it is closed or refused. */
function keepOpen({ address, onMessage, onState }) {
  let ended = false;
  let attempt = 0;
  let link = null;
  let retry = null;

  const connect = () => {
    clearTimeout(retry);
    retry = null;
    onState({ state: "connecting" });
    link = openLink(socketAddress(address()), { onMessage, onOpen: () => onState({ state: "open" }), onLost });
  };

  const onLost = async (error, openMs) => {
    link = null;
    // a browser doesn't tell why a handshake was refused: the same address over HTTP does
    const reason = openMs === null ? ((await refusal(address())) ?? error) : error;
    if (ended) return;
    if (reason instanceof Refused) {
      end();
      return onState({ state: "failed", reason: reason.message });
    }
    if (openMs >= GOOD_AFTER_MS) attempt = 0;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 16));
    // spread at random: the clients of a server that comes back don't all knock at once
    const retryInMs = Math.round(wait * (0.5 + Math.random() / 2));
    attempt += 1;
    retry = setTimeout(connect, retryInMs);
    onState({ state: "waiting", retryInMs, reason: reason.message });
  };

  const end = () => {
    ended = true;
    removeEventListener("online", online);
    clearTimeout(retry);
    link?.end();
  };

  // the network is back: no reason to sit out the wait
  const online = () => retry !== null && connect();
  addEventListener("online", online);
  connect();
  return { close: end };
}

/** One connection. Calls `onLost` once, when it is over, with how long it was open. */
function openLink(to, { onMessage, onOpen, onLost }) {
  const socket = new WebSocket(to);
  let openedAt = null;
  let over = false;
  let pulse = null;

  const end = (error) => {
    if (over) return;
    over = true;
    clearTimeout(pulse);
    socket.close();
    if (error) onLost(error, openedAt === null ? null : performance.now() - openedAt);
  };
  const send = (frame) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(frame));
  // a connection over which nothing comes is asked, and given up without an answer
  const listen = (wasAsked) => {
    clearTimeout(pulse);
    if (over) return;
    pulse = setTimeout(() => {
      if (wasAsked) return end(new Error("the server does not answer"));
      send({ type: "ping" });
      listen(true);
    }, wasAsked ? ANSWER_WITHIN_MS : PING_EVERY_MS);
  };

  socket.onopen = () => (openedAt = performance.now());
  socket.onmessage = ({ data }) => {
    if (over) return;
    listen(false);
    try {
      onMessage(JSON.parse(data), { send, ready: onOpen });
    } catch (error) {
      reportError(error);
      end(error);
    }
  };
  socket.onclose = ({ code, reason }) => end(new Error(reason || `the connection was closed (${code})`));
  listen(true);
  return { end };
}

/** Why the server doesn't take the socket; nothing if it would. */
async function refusal(to) {
  try {
    const answer = await fetch(to, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    const { detail } = await answer.json();
    if (answer.status === 426 || !detail) return null;
    const later = answer.status >= 500 || answer.status === 408 || answer.status === 429;
    return later ? new Error(detail) : new Refused(detail);
  } catch {
    return null;
  }
}

function socketAddress(to) {
  to.protocol = to.protocol === "https:" ? "wss:" : "ws:";
  return to;
}

/** Unlike `crypto.randomUUID`, also in pages that came over plain HTTP. */
const randomText = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
