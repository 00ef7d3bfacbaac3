// The chat page: frames in, screen out; keys and buttons in, frames out.

import { activity, choose, direction, missing, specialist, t } from "./i18n.js";
import { make, Screen } from "./render.js";
import { Connection } from "./socket.js";

const LANGUAGE = "parley.language";
const get = (id) => document.getElementById(id);
const words = get("words");
const screen = new Screen({ rate: (messageId, rating) => link.put({ type: "feedback", messageId, rating }) });
const link = new Connection({ state, frame, opened, forgotten, refused });
const EVENTS = {
  RUN_STARTED: started,
  RUN_FINISHED: finished,
  TEXT_MESSAGE_START: begun,
  TEXT_MESSAGE_CONTENT: (ev) => screen.append(screen.message(ev.messageId, "assistant"), ev.delta),
  TEXT_MESSAGE_END: ended,
  TOOL_CALL_START: (ev) => doing(ev.toolCallId, activity(ev.toolCallName)),
  TOOL_CALL_END: (ev) => done(ev.toolCallId),
  STEP_STARTED: (ev) => doing(ev.stepName, t(ev.stepName === "retrieve" ? "reading" : "writing")),
  STEP_FINISHED: (ev) => done(ev.stepName),
  ACTIVITY_SNAPSHOT: happened,
  STATE_DELTA: changed,
  MESSAGES_SNAPSHOT: (ev) => ev.messages.forEach(restored),
  CUSTOM: (ev) => ev.name === "parley.degraded" && degraded(ev.value.parts),
};
let running = false;
let live = false;
let owner = "";
let parts = [];
// What the gateway takes in one message, until it says so itself when it welcomes us.
let mostBytes = 8000;
let tasks = new Map();
const sent = new Map();
const told = new Set();

function frame(frame) {
  if (frame.type === "event") EVENTS[frame.ev.type]?.(frame.ev);
  else if (frame.type === "welcome") welcomed(frame);
  else if (frame.type === "ack") acked(frame);
  else if (frame.type === "error") failed(frame);
  else if (frame.type === "queue") doing("queue", t("queue", frame));
  // What is replayed was heard before: only what comes after a pause is announced.
  if (frame.type === "pong" || frame.type === "ack") live = true;
}

// A quiet line while something does not work; said once to those who listen.
function degraded(now) {
  parts = now;
  const banner = get("degraded");
  const text = parts.map(missing).join(" ");
  if (text && text !== banner.textContent) announce(text);
  banner.textContent = text;
  banner.hidden = !text;
}

function welcomed(frame) {
  mostBytes = frame.limits?.maxContentBytes ?? mostBytes;
  fit();
  degraded(frame.degraded ?? []);
}

function opened(resume) {
  if (resume !== "replayed") reset();
  else for (const message of [...screen.messages.values()]) if (message.node.classList.contains("writing")) screen.remove(message);
  live = false;
  tasks.clear();
  show();
  for (const message of link.waiting) {
    sent.set(message.id, message);
    screen.pending(message);
  }
  link.put({ type: "ping" });
}

function reset() {
  screen.clear();
  running = false;
  owner = "";
  get("owner").textContent = "";
}

function forgotten() {
  alarm(t("full"));
}

function refused(code) {
  state(code);
  alarm(t(code));
}

function state(name) {
  get("link").textContent = name ? t(name) : "";
}

function started() {
  running = true;
  show();
}

function finished(ev) {
  running = false;
  tasks.clear();
  if (ev.outcome?.type === "cancelled") screen.line(`stopped-${ev.runId}`, t("stopped"));
  show();
}

function begun(ev) {
  const facts = ev.metadata?.parley ?? {};
  if (facts.clientId) screen.rename(facts.clientId, ev.messageId);
  const message = screen.message(ev.messageId, ev.role ?? "assistant", facts);
  screen.begin(message);
  show();
}

function ended(ev) {
  const message = screen.messages.get(ev.messageId);
  if (!message) return;
  const facts = ev.metadata?.parley ?? {};
  const kept = screen.finish(message, facts);
  if (kept && message.role !== "user" && facts.at) {
    if ("model" in facts) get("offline").hidden = !facts.offline;
    if (live) announce(t("said", { who: specialist(facts.specialty), text: message.words }));
  }
  show();
}

function restored(one) {
  const facts = one.metadata?.parley ?? {};
  if (facts.clientId) screen.rename(facts.clientId, one.id);
  const message = screen.message(one.id, one.role, facts);
  screen.begin(message);
  screen.append(message, one.content);
  screen.finish(message, facts);
}

function happened(ev) {
  const { content } = ev;
  if (ev.activityType === "notice") {
    screen.notice(ev.messageId, content.text, content.severity);
    if (live) announce(`${t("notice")}: ${content.text}`);
    return;
  }
  if (ev.activityType !== "handoff") return;
  const who = specialist(content.owner);
  const text = content.previous
    ? t("takes_over", { who, before: specialist(content.previous) })
    : t("answers", { who });
  const asked = content.reason === "customer_choice" && content.owner === "escalation";
  screen.line(ev.messageId, asked ? `${t("asked_person")} ${text}` : text);
  if (live) announce(text);
}

function changed(ev) {
  for (const patch of ev.delta) if (patch.path === "/parley") owner = patch.value.owner;
  get("owner").textContent = owner ? t("answers", { who: specialist(owner) }) : "";
}

function acked(frame) {
  told.delete(frame.id);
  screen.rename(frame.id, frame.messageId);
  if (!frame.duplicate) screen.delivered(frame.messageId, Date.now());
}

function failed(frame) {
  const message = sent.get(frame.id);
  if (!message) return;
  if (frame.code === "rate_limited" || frame.code === "overloaded") {
    // Tried again by itself, perhaps often: once is enough to hear.
    if (!told.has(frame.id)) announce(t(frame.code === "rate_limited" ? "slow_down" : "busy"));
    told.add(frame.id);
    return;
  }
  if (link.waiting.includes(message)) return;
  screen.refused(frame.id, frame.message, () => {
    screen.pending(message);
    link.again(message);
  });
  alarm(t("not_sent", { why: frame.message }));
}

function doing(name, text) {
  tasks.set(name, text);
  show();
}

function done(name) {
  tasks.delete(name);
  show();
}

function show() {
  const writing = screen.list.querySelector(".message.writing:not(.mine)");
  get("status").hidden = !running || (Boolean(writing) && !tasks.size);
  get("doing").textContent = [...tasks.values()].at(-1) ?? t("thinking");
  get("stop").hidden = !running;
  screen.toEnd();
}

function announce(text) {
  get("announce").textContent = text;
}

function alarm(text) {
  get("alarm").textContent = text;
}

function send() {
  const content = words.value.trim();
  if (!content || beyond(content)) return;
  const message = link.say(content);
  sent.set(message.id, message);
  screen.pending(message);
  words.value = "";
  fit();
  words.focus();
}

function fit() {
  words.style.height = "auto";
  words.style.height = `${words.scrollHeight + 2}px`;
  const content = words.value.trim();
  const over = beyond(content);
  get("send").disabled = !content || over > 0;
  const hint = get("hint");
  if (over && !hint.classList.contains("wrong")) alarm(t("too_long", { over }));
  hint.textContent = over ? t("too_long", { over }) : t("hint");
  hint.classList.toggle("wrong", over > 0);
}

// About how many letters of `content` the gateway would not take: it counts bytes.
function beyond(content) {
  const bytes = new TextEncoder().encode(content).length;
  return bytes > mostBytes ? Math.ceil(((bytes - mostBytes) * content.length) / bytes) : 0;
}

function speak(language) {
  document.documentElement.lang = choose(language);
  document.documentElement.dir = direction();
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t(node.dataset.label));
  get("person").title = t("person");
  get("fresh").title = t("fresh");
  words.placeholder = t("placeholder");
  fit();
  document.title = t("title");
  get("language").value = document.documentElement.lang;
  get("owner").textContent = owner ? t("answers", { who: specialist(owner) }) : "";
  degraded(parts);
  get("ideas").replaceChildren(...t("ideas").map(idea));
  for (const message of screen.messages.values()) {
    if (message.role !== "user") screen.name(message, message.facts);
    if (message.facts.at) screen.dress(message);
  }
  show();
}

function idea(text) {
  const item = make("li");
  const button = make("button", "", text);
  button.type = "button";
  button.addEventListener("click", () => {
    words.value = text;
    send();
  });
  item.append(button);
  return item;
}

function remembered() {
  try {
    return localStorage.getItem(LANGUAGE);
  } catch {
    return null;
  }
}

get("form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  send();
});
words.addEventListener("input", fit);
words.addEventListener("keydown", (pressed) => {
  if (pressed.key !== "Enter" || pressed.shiftKey || pressed.isComposing) return;
  pressed.preventDefault();
  send();
});
get("stop").addEventListener("click", () => {
  link.put({ type: "run.cancel" });
  words.focus();
});
get("person").addEventListener("click", () => link.put({ type: "handoff.request", to: "escalation" }));
get("fresh").addEventListener("click", () => {
  reset();
  sent.clear();
  link.fresh();
  words.focus();
});
get("language").addEventListener("change", (picked) => {
  try {
    localStorage.setItem(LANGUAGE, picked.target.value);
  } catch {
    // Not remembered then; it holds until the page is closed.
    link.unkept = true;
  }
  speak([picked.target.value]);
});

speak([remembered(), ...navigator.languages].filter(Boolean));
fit();
fetch("/v1/meta")
  .then((reply) => reply.json())
  .then((meta) => {
    get("offline").hidden = meta.offline !== true;
  })
  .catch(() => state("reconnecting"));
link.open();
