/* The text of a sample, changed in its place. What is begun and not saved stays a draft until the page is closed. */

import { shownChanges } from "./diff.js";
import { get, h, settled } from "./dom.js";

const WHO = { system: "System", user: "Instruction", assistant: "Response" };

const FORMULA = /\$|\\\(|\\\[|`/;

const drafts = new Map();

export const hasDrafts = () => drafts.size > 0;

export const isEditing = () => Boolean(document.querySelector("#turns.editing"));

/** Put fields in the place of a sample's turns. `save` takes the new messages; `leave` shows the sample again. */
export function edit(found, save, leave) {
  const original = found.sample.messages;
  const start = drafts.get(found.sample.id) ?? found.messages.map((turn) => turn.content);
  const fields = start.map((text, at) => field(original[at], text, () => keep()));
  const now = () => fields.map(({ area }) => area.value);
  const keep = () => {
    const same = now().every((text, at) => text === found.messages[at].content);
    if (same) drafts.delete(found.sample.id);
    else drafts.set(found.sample.id, now());
  };
  const finish = async () => {
    const kept = await save(now().map((content, at) => ({ role: original[at].role, content })));
    if (kept) drafts.delete(found.sample.id);
  };
  const cancel = () => {
    drafts.delete(found.sample.id);
    leave();
  };
  const bar = h(
    "div",
    { class: "editbar" },
    h("button", { class: "button primary", onclick: finish }, "Save and accept ", h("kbd", {}, "Ctrl ↵")),
    h("button", { class: "button", onclick: cancel }, "Cancel ", h("kbd", {}, "Esc")),
    h("span", { class: "muted small" }, "What the model wrote stays on disk as it was."),
  );
  const box = get("turns");
  box.classList.add("editing");
  box.replaceChildren(...fields.map(({ node }) => node), bar);
  box.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) finish();
    else if (event.key === "Escape") cancel();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const first = fields.find(({ role }) => role !== "system") ?? fields[0];
  first.area.focus();
  first.area.setSelectionRange(0, 0);
}

function field(before, text, changed) {
  const label = h("label", { class: "turn" }, h("h3", {}, WHO[before.role]));
  const area = h("textarea", { class: "field", spellcheck: "true" });
  area.value = text;
  const below = h("div", { class: "below" });
  const look = () => {
    below.replaceChildren();
    if (area.value !== before.content) below.append(h("h4", {}, "Changes"), shownChanges(before.content, area.value));
    if (area.value !== before.content && FORMULA.test(area.value))
      below.append(h("h4", {}, "As it will look"), prose.fill(h("div", { class: "prose" }), area.value));
  };
  const later = settled(look, 120);
  area.addEventListener("input", () => (changed(), later()));
  look();
  label.append(area);
  return { role: before.role, area, node: h("div", {}, label, below) };
}
