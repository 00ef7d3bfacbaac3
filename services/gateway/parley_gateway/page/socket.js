// The connection: a ticket, a hello, and then frames; it comes back by itself and loses nothing.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
// When thousands come back at once the last one is welcomed after 10 s.
const PATIENCE_MS = 30000;
const MOST_UNKNOWN = 3;
const STORE = "parley.chat";
const RETRYABLE = ["rate_limited", "overloaded", "unavailable", "internal"];

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
  } catch {
    // Storage may be switched off: then a reload starts a new conversation.
    return {};
  }
}

// `crypto.randomUUID` is only there on https and localhost.
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Connection {
  // `on` has: state(name), frame(frame), opened(resume), forgotten(), refused(code).
  constructor(on) {
    const kept = load();
    this.on = on;
    this.thread = kept.thread ?? "";
    this.seq = 0;
    this.waiting = kept.waiting ?? [];
    this.heard = Boolean(kept.heard || kept.seq);
    this.unknowns = 0;
    this.tries = 0;
    this.timer = 0;
    this.beat = 0;
    this.silent = 0;
    this.ready = false;
    this.leaving = 0;
    this.socket = null;
    window.addEventListener("online", () => this.open());
    window.addEventListener("offline", () => this.on.state("offline_now"));
  }

  token() {
    try {
      return sessionStorage.getItem("parley.token") ?? "";
    } catch {
      return "";
    }
  }

  async open() {
    clearTimeout(this.timer);
    if (this.socket && this.socket.readyState <= WebSocket.OPEN) return;
    this.on.state(this.tries ? "reconnecting" : "connecting");
    const attempt = (this.attempt = Symbol("attempt"));
    try {
      const ticket = await this.ticket();
      if (attempt === this.attempt && ticket) this.dial(ticket);
    } catch {
      if (attempt === this.attempt) this.later();
    }
  }

  async ticket() {
    const token = this.token();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const reply = await fetch("/v1/tickets", { method: "POST", headers, cache: "no-store", signal });
    if (reply.status === 401) {
      this.on.refused("signin");
      return "";
    }
    if (!reply.ok) throw new Error(`tickets: ${reply.status}`);
    return (await reply.json()).ticket;
  }

  dial(ticket) {
    const address = new URL("/v1/ws", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address));
    socket.onopen = () => {
      const hello = { type: "hello", ticket, since: this.thread ? this.seq : 0 };
      socket.send(JSON.stringify(this.thread ? { ...hello, threadId: this.thread } : hello));
    };
    socket.onmessage = (message) => {
      if (socket === this.socket) this.read(JSON.parse(message.data));
    };
    socket.onclose = (closed) => {
      if (socket === this.socket) this.closed(closed.code);
    };
    setTimeout(() => this.overdue(socket), PATIENCE_MS);
  }

  // A gateway that stands still takes connections and welcomes nobody: another one may.
  overdue(socket) {
    if (socket !== this.socket || this.ready) return;
    this.socket = null;
    socket.close();
    this.later();
  }

  read(frame) {
    this.silent = 0;
    if (frame.type === "welcome") this.welcomed(frame);
    else if (frame.type === "event") this.seq = Math.max(this.seq, frame.seq ?? 0);
    else if (frame.type === "ack") this.acked(frame);
    else if (frame.type === "going_away") this.leaving = Math.max(1, frame.reconnectInMs);
    else if (frame.type === "error") this.failed(frame);
    this.on.frame(frame);
  }

  welcomed(frame) {
    this.thread = frame.threadId;
    this.tries = 0;
    this.unknowns = 0;
    this.ready = true;
    this.keep();
    this.on.opened(frame.resume);
    this.on.state("");
    clearInterval(this.beat);
    this.beat = setInterval(() => this.heartbeat(), frame.heartbeatMs);
    for (const message of this.waiting) this.put(message);
  }

  heartbeat() {
    this.silent += 1;
    if (this.silent > 2) this.socket?.close();
    else this.put({ type: "ping" });
  }

  acked(frame) {
    this.waiting = this.waiting.filter((message) => message.id !== frame.id);
    this.heard = true;
    this.keep();
  }

  failed(frame) {
    if (frame.code === "unknown_conversation") this.unknown();
    if (frame.code === "bad_seq") this.restart();
    const message = this.waiting.find((one) => one.id === frame.id);
    if (!message) return;
    if (RETRYABLE.includes(frame.code)) {
      setTimeout(() => this.waiting.includes(message) && this.put(message), frame.retryAfterMs ?? 1000);
    } else {
      this.acked(frame);
    }
  }

  // Before anything was said in it, nobody but this page knows a conversation; and what waits may be on its way into it.
  unknown() {
    this.unknowns += 1;
    if (this.heard || this.seq || this.unknowns > MOST_UNKNOWN) this.forget();
    else if (!this.waiting.length) this.thread = "";
  }

  forget() {
    this.thread = "";
    this.heard = false;
    this.restart();
    this.keep();
    this.on.forgotten();
  }

  restart() {
    this.seq = 0;
    this.on.opened("reset");
  }

  closed(code) {
    clearInterval(this.beat);
    this.ready = false;
    this.socket = null;
    if (code === 4009) {
      this.on.refused("expired");
      return;
    }
    this.later();
  }

  later() {
    this.on.state(navigator.onLine ? "reconnecting" : "offline_now");
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries);
    const wait = this.leaving || Math.random() * longest;
    this.leaving = 0;
    this.tries += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), wait);
  }

  say(content) {
    const message = { type: "message.send", id: newId(), content };
    this.waiting.push(message);
    this.keep();
    this.put(message);
    return message;
  }

  again(message) {
    this.waiting.push(message);
    this.keep();
    this.put(message);
  }

  put(frame) {
    if (!this.ready || this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  fresh() {
    this.thread = "";
    this.heard = false;
    this.seq = 0;
    this.waiting = [];
    this.tries = 0;
    this.ready = false;
    this.keep();
    clearInterval(this.beat);
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.open();
  }

  keep() {
    try {
      const kept = { thread: this.thread, seq: this.seq, waiting: this.waiting, heard: this.heard };
      sessionStorage.setItem(STORE, JSON.stringify(kept));
    } catch {
      // Full or switched off: the conversation goes on, a reload can't find it again.
      this.unkept = true;
    }
  }
}
