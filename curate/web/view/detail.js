/* One sample: its text, why it was dropped, what a person decided, its nearest kept sample, and how it was made. */

import { shownChanges } from "./diff.js";
import { ago, get, h, number, spoken } from "./dom.js";
import { mark } from "./marks.js";
import { listed } from "./reading.js";
import { state, want } from "./state.js";

const WHO = { system: "System", user: "Instruction", assistant: "Response" };

/* Fields of `meta` that have a place of their own on the page. */
const TOLD = new Set(["generate", "dedup", "judge", "verify", "review", "source"]);

/* Characters of a turn that are shown at once. */
const LONG = 200_000;

const box = get("detail");

/** Show a sample; `actions` is the bar of buttons. */
export function show(found, actions) {
  const { sample, brief } = found;
  box.replaceChildren(
    h(
      "header",
      { class: "detail-head" },
      path(found),
      h("p", { class: "muted small" }, place(), " · ", h("span", { class: "mono" }, sample.id)),
      actions,
    ),
    h("div", { class: "notes" }, dropped(sample), decided(brief.review)),
    h("div", { class: "turns", id: "turns" }, turns(found)),
    h("div", { class: "more" }, losing(sample), nearest(found), verdicts(found), made(sample), raw(sample)),
  );
  box.scrollTop = 0;
}

export function showNothing(...children) {
  box.replaceChildren(h("div", { class: "empty" }, children));
}

function path(found) {
  const parts = found.path.length > 1 ? found.path.slice(1) : found.path;
  const steps = parts.map(({ id, name }) =>
    h("button", { class: "step", title: `Only this task: ${name}`, onclick: () => want({ task: id }) }, name),
  );
  return h(
    "nav",
    { class: "crumbs", "aria-label": "Task" },
    steps.length ? steps : h("span", { class: "muted" }, "Sample"),
  );
}

const place = () => `${number(state.index + 1)} of ${number(listed())}`;

function dropped(sample) {
  const verdict = sample.dropped;
  if (!verdict) return null;
  const rest = Object.entries(verdict).filter(
    ([name, value]) => !["stage", "reason", "score", "neighbour"].includes(name) && value !== null && value !== "",
  );
  const score = typeof verdict.score === "number" ? ` (${figure(verdict.score)})` : "";
  return h(
    "div",
    { class: "note warn" },
    h(
      "p",
      {},
      h("strong", {}, `Dropped: ${spoken(verdict.reason)}`),
      `${score} at the stage “${spoken(verdict.stage)}”`,
    ),
    rest.length > 0 &&
      h("p", { class: "small" }, rest.map(([name, value]) => `${spoken(name)}: ${plain(value)}`).join(" · ")),
  );
}

function decided(review) {
  if (!review) return null;
  const word = { accept: "Accepted", reject: "Rejected", edit: "Edited" }[review.decision];
  const by = [review.author && `by ${review.author}`, ago(review.time)].filter(Boolean).join(", ");
  const kind = { accept: "good", reject: "bad", edit: "edit" }[review.decision];
  return h(
    "div",
    { class: `note ${kind}` },
    h(
      "p",
      {},
      h("strong", {}, word),
      review.reason ? `: ${review.reason}` : "",
      h("span", { class: "muted" }, ` ${by}`),
    ),
  );
}

function turns(found) {
  const { sample, messages, brief } = found;
  if (!messages.length) return reply(sample);
  const several = messages.filter((turn) => turn.role === "user").length > 1;
  const made = messages.map((turn, at) => {
    const text = said(turn.content);
    const who =
      several && turn.role === "user" ? "User" : several && turn.role === "assistant" ? "Assistant" : WHO[turn.role];
    return h("section", { class: `turn ${turn.role}`, "data-at": at }, h("h3", {}, who), text);
  });
  if (!brief.review?.edited) return made;
  const before = sample.messages.map((turn, at) => changed(turn, messages[at])).filter(Boolean);
  return [...made, h("details", { class: "fold", open: true }, h("summary", {}, "What was changed by hand"), before)];
}

/* A text, the first part of a very long one; the rest where it is asked for, as a browser takes seconds for it. */
function said(content, most = LONG) {
  const text = prose.fill(h("div", { class: "prose" }), content.slice(0, most));
  mark(text, state.terms);
  if (content.length <= most) return text;
  const all = h("button", { class: "button" }, `Show all ${number(content.length)} characters`);
  const box = h("div", {}, text, all);
  all.addEventListener("click", () => box.replaceWith(said(content, Infinity)));
  return box;
}

function changed(before, after) {
  if (before.content === after.content) return null;
  return h("section", { class: "turn" }, h("h3", {}, WHO[before.role]), shownChanges(before.content, after.content));
}

/* A call that gave no sample has the head of the model's reply. */
function reply(sample) {
  const text = sample.meta.generate?.reply;
  const why = h("p", { class: "muted" }, "This call gave no sample that could be read. The model wrote:");
  return text ? [why, h("pre", { class: "raw" }, text)] : h("p", { class: "muted" }, "This call gave no sample.");
}

/* The losing answer of a preference pair. */
function losing(sample) {
  const answer = sample.meta.source?.rejected;
  if (!answer) return null;
  const text =
    typeof answer === "string"
      ? answer
      : Array.isArray(answer)
        ? (answer.at(-1)?.content ?? answer.at(-1)?.value)
        : null;
  if (typeof text !== "string") return null;
  return h(
    "details",
    { class: "fold", open: true },
    h("summary", {}, "The losing answer of the pair"),
    prose.fill(h("div", { class: "prose" }), text),
  );
}

function nearest(found) {
  const { neighbour, near, sample, messages } = found;
  if (!neighbour) return null;
  const copy = Boolean(sample.dropped?.neighbour);
  const likeness = typeof near === "number" ? ` · likeness ${figure(near)}` : "";
  const pairs = neighbour.messages.map((turn, at) => {
    const own = messages[at];
    if (!own) return null;
    return h(
      "div",
      { class: "pair" },
      h(
        "section",
        {},
        h("h3", {}, `This ${WHO[turn.role].toLowerCase()}`),
        shownChanges(turn.content, own.content, "after"),
      ),
      h("section", {}, h("h3", {}, "Kept"), shownChanges(turn.content, own.content, "before")),
    );
  });
  const title = copy ? "The kept sample that it was too near to" : "Nearest kept sample";
  return h(
    "details",
    { class: "fold", open: copy },
    h("summary", {}, title, h("span", { class: "muted" }, likeness)),
    pairs,
    h(
      "p",
      { class: "muted small" },
      "Task: ",
      neighbour.task.slice(1).join(" › ") || neighbour.task.join(""),
      " · ",
      h("span", { class: "mono" }, neighbour.id),
    ),
  );
}

function verdicts(found) {
  const { meta } = found.sample;
  const rows = [];
  if (meta.judge)
    rows.push([
      "Judge",
      typeof meta.judge.score === "number" ? `grade ${meta.judge.score}` : `no grade: ${spoken(meta.judge.cause)}`,
      meta.judge.model,
    ]);
  if (meta.verify) rows.push(["Answer", plain(without(meta.verify, "calls")), ""]);
  if (typeof found.near === "number" && !found.neighbour)
    rows.push(["Likeness to the nearest kept sample", figure(found.near), ""]);
  for (const [stage, note] of Object.entries(meta)) if (!TOLD.has(stage)) rows.push([spoken(stage), plain(note), ""]);
  if (!rows.length) return null;
  return h(
    "details",
    { class: "fold", open: true },
    h("summary", {}, "Verdicts"),
    facts(rows.map(([name, value, more]) => [name, more ? `${value} · ${more}` : value])),
  );
}

function made(sample) {
  const note = sample.meta.generate;
  if (!note || typeof note !== "object") return null;
  const known = [
    ["model", "Model"],
    ["prompt", "Prompt"],
    ["kind", "Kind of problem"],
    ["answer", "Known answer"],
    ["round", "Round"],
    ["attempt", "Attempt at its task"],
    ["position", "Place in the reply"],
    ["demonstrations", "Demonstrations"],
    ["calls", "Calls in the ledger"],
  ];
  const rows = known
    .filter(([name]) => note[name] !== undefined && note[name] !== "")
    .map(([name, title]) => [title, plain(note[name])]);
  const reasoning =
    typeof note.reasoning === "string" && note.reasoning
      ? h(
          "details",
          { class: "fold" },
          h("summary", {}, "The model's reasoning"),
          h("div", { class: "prose" }, note.reasoning),
        )
      : null;
  return h(
    "details",
    { class: "fold" },
    h("summary", {}, "How it was made"),
    facts(rows),
    reasoning,
    h(
      "p",
      { class: "muted small" },
      "On the command line: ",
      h("code", {}, `curate why ${state.about.path} ${sample.id}`),
    ),
  );
}

function raw(sample) {
  return h(
    "details",
    { class: "fold" },
    h("summary", {}, "The row as it lies on disk"),
    h("pre", { class: "raw" }, JSON.stringify(sample, null, 2)),
  );
}

function facts(rows) {
  return h(
    "dl",
    { class: "facts" },
    rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

const without = (value, name) =>
  value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))
    : value;

const figure = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

function plain(value) {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (value && typeof value === "object")
    return Object.entries(value)
      .map(([name, each]) => `${spoken(name)} ${plain(each)}`)
      .join(" · ");
  return typeof value === "number" ? figure(value) : String(value);
}
