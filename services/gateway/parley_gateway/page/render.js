// What is on the screen. Data becomes text nodes only; no markup is ever made of it.

import { day, specialist, t, time } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
const UP = "M7 11v9H4v-9h3zm0 0 4-8a2 2 0 0 1 2 2v4h6a2 2 0 0 1 2 2l-2 7a2 2 0 0 1-2 2H7";
const DOWN = "M17 13V4h3v9h-3zm0 0-4 8a2 2 0 0 1-2-2v-4H5a2 2 0 0 1-2-2l2-7a2 2 0 0 1 2-2h10";

export function make(name, className = "", text = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export class Screen {
  constructor(on) {
    this.on = on;
    this.log = document.getElementById("log");
    this.list = document.getElementById("messages");
    this.empty = document.getElementById("empty");
    this.down = document.getElementById("down");
    this.clear();
    this.log.addEventListener("scroll", () => this.showDown());
    this.down.addEventListener("click", () => this.toEnd(true));
    // A taller text field or a screen keyboard must not hide the newest words.
    new ResizeObserver(() => this.stuck && this.toEnd(true)).observe(this.log);
  }

  clear() {
    this.list.replaceChildren();
    this.messages = new Map();
    this.lines = new Map();
    this.lastDay = "";
    this.stuck = true;
    this.empty.hidden = false;
  }

  atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
  }

  showDown() {
    this.stuck = this.atEnd();
    this.down.hidden = this.stuck;
  }

  toEnd(always = false) {
    if (always || this.stuck) this.log.scrollTop = this.log.scrollHeight;
  }

  add(node, at) {
    const today = at ? day(at) : "";
    if (today && today !== this.lastDay) {
      if (this.lastDay) this.list.append(make("p", "event", today));
      this.lastDay = today;
    }
    this.list.append(node);
    this.toEnd();
  }

  message(id, role, facts = {}) {
    const known = this.messages.get(id);
    if (known) return known;
    const node = make("article", `message ${role === "user" ? "mine" : role}`);
    const text = make("div", "text");
    text.dir = "auto";
    const from = this.from(role, facts);
    const foot = make("div", "foot");
    node.append(from, text, foot);
    const message = { id, role, node, text, from, foot, words: "", facts };
    this.messages.set(id, message);
    this.empty.hidden = true;
    this.add(node, facts.at);
    return message;
  }

  from(role, facts) {
    const line = make("p", "from");
    if (role === "user") {
      line.append(make("span", "hidden", t("you")));
      return line;
    }
    const who = role === "system" ? t("system") : specialist(facts.specialty);
    const badge = make("span", "badge", [...who][0]);
    badge.setAttribute("aria-hidden", "true");
    line.append(badge, make("span", "", who));
    return line;
  }

  name(message, facts) {
    const from = this.from(message.role, facts);
    message.from.replaceWith(from);
    message.from = from;
  }

  rename(oldId, newId) {
    const message = this.messages.get(oldId);
    if (!message || oldId === newId) return;
    this.messages.delete(oldId);
    const other = this.messages.get(newId);
    if (other) {
      message.node.remove();
      return;
    }
    message.id = newId;
    this.messages.set(newId, message);
  }

  begin(message) {
    message.words = "";
    message.text.replaceChildren();
    message.foot.replaceChildren();
    message.node.classList.add("writing");
    message.node.setAttribute("aria-busy", "true");
  }

  append(message, words) {
    message.words += words;
    message.text.append(words);
    this.toEnd();
  }

  finish(message, facts) {
    message.node.classList.remove("writing", "waiting", "refused");
    message.node.removeAttribute("aria-busy");
    if (!message.words) {
      this.remove(message);
      return false;
    }
    message.facts = { ...message.facts, ...facts };
    if (message.role !== "user") this.name(message, message.facts);
    message.node.classList.toggle("failed", facts.kind === "failed");
    this.dress(message);
    this.toEnd();
    return true;
  }

  remove(message) {
    message.node.remove();
    this.messages.delete(message.id);
  }

  dress(message) {
    const { facts } = message;
    const cited = new Map((facts.citations ?? []).map((one) => [one.n, one]));
    message.text.replaceChildren(...this.pieces(message, cited));
    message.foot.replaceChildren();
    if (facts.at) {
      const when = make("time", "", time(facts.at));
      when.dateTime = new Date(facts.at).toISOString();
      message.foot.append(when);
    }
    if (message.role === "assistant") this.rate(message);
    message.node.querySelector("details")?.remove();
    if (cited.size) message.node.append(this.sources(message, [...cited.values()]));
  }

  pieces(message, cited) {
    return message.words.split(/(\[\d{1,2}\])/).map((piece) => {
      const one = /^\[\d+\]$/.test(piece) && cited.get(Number(piece.slice(1, -1)));
      if (!one) return document.createTextNode(piece);
      const link = make("button", "cite", String(one.n));
      link.type = "button";
      link.setAttribute("aria-label", t("source", one));
      link.title = one.title;
      link.addEventListener("click", () => this.showSource(message, one.n));
      return link;
    });
  }

  sources(message, cited) {
    const details = make("details");
    const list = make("ol");
    for (const one of cited) {
      const line = make("li");
      line.dataset.n = one.n;
      const what = [one.title, one.section || (one.tool && t("from_records"))].filter(Boolean).join(" · ");
      const title = make("span", "", what);
      title.dir = "auto";
      line.append(make("span", "number", String(one.n)), title);
      list.append(line);
    }
    details.append(make("summary", "", t("sources", { count: cited.length })), list);
    details.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Escape") return;
      details.open = false;
      details.querySelector("summary").focus();
    });
    return details;
  }

  showSource(message, n) {
    const details = message.node.querySelector("details");
    details.open = true;
    for (const line of details.querySelectorAll("li")) line.classList.toggle("shown", line.dataset.n === String(n));
    details.querySelector("summary").focus();
    this.toEnd();
  }

  rate(message) {
    const buttons = [["up", "helpful", UP], ["down", "unhelpful", DOWN]].map(([rating, name, path]) => {
      const button = make("button");
      button.type = "button";
      button.setAttribute("aria-label", t(name));
      button.title = t(name);
      button.setAttribute("aria-pressed", String(message.rating === rating));
      button.append(icon(path));
      button.addEventListener("click", () => {
        if (!this.on.rate(message.id, rating)) return;
        message.rating = rating;
        for (const [index, other] of buttons.entries()) {
          other.setAttribute("aria-pressed", String((index === 0) === (rating === "up")));
        }
      });
      return button;
    });
    message.foot.append(...buttons);
  }

  pending(sent) {
    const message = this.message(sent.id, "user");
    message.words = sent.content;
    message.text.replaceChildren(sent.content);
    message.node.classList.remove("refused");
    message.node.classList.add("waiting");
    message.foot.replaceChildren(t("sending"));
    this.toEnd(true);
  }

  refused(id, why, again) {
    const message = this.messages.get(id);
    if (!message) return;
    message.node.classList.remove("waiting");
    message.node.classList.add("refused");
    message.foot.replaceChildren(t("not_sent", { why }));
    if (!again) return;
    const button = make("button", "again", t("retry"));
    button.type = "button";
    button.addEventListener("click", again);
    message.foot.append(button);
  }

  delivered(id, at) {
    const message = this.messages.get(id);
    if (!message) return;
    message.node.classList.remove("waiting", "refused");
    message.foot.replaceChildren(time(at));
  }

  line(id, text) {
    this.place(id, make("p", "event", text));
  }

  notice(id, text, severity) {
    const node = make("div", `notice ${severity}`);
    const words = make("span", "", text);
    words.dir = "auto";
    const title = make("strong", "", t("notice"));
    title.dataset.text = "notice";
    node.append(title, words);
    this.place(id, node);
  }

  place(id, node) {
    const known = this.lines.get(id);
    if (known) known.replaceWith(node);
    else this.add(node);
    this.lines.set(id, node);
  }
}
