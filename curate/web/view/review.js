/* Decisions: accept, reject with a reason, edit, take back. Each goes to the journal before the page moves on. */

import { act } from "./api.js";
import { dialog, get, h, toast } from "./dom.js";
import { edit, isEditing } from "./edit.js";
import { choose, nextOpen, positionOf, refresh } from "./list.js";
import { state, tell } from "./state.js";

const COMMON = ["wrong answer", "unclear", "off topic", "duplicate", "too easy", "bad format", "incomplete", "unsafe"];

/* What this page has decided, the last one at the end: number and id of the sample. */
const done = [];
let lastReason = "";
let busy = false;

/** Send a decision on the sample that is shown; true where it is in the journal. */
async function send(decision, more = {}) {
  const found = state.sample;
  if (!found || busy) return false;
  if (!found.sample.messages.length) {
    toast("This call gave no sample, so there is nothing to decide.", { bad: true });
    return false;
  }
  busy = true;
  try {
    const now = await act("decide", { row: found.brief.row, decision, author: state.author, ...more });
    done.push(found.brief.row);
    if (state.sample === found) state.sample = now;
    refresh(now.brief);
    tell("decided", now);
    return true;
  } catch (error) {
    toast(`Not saved: ${error.message}`, { bad: true });
    return false;
  } finally {
    busy = false;
  }
}

/** Go to the next sample that is undecided; at the end of the list stay and say so. */
function onward(text) {
  const next = nextOpen(state.index);
  toast(text, { action: ["Undo", undo] });
  if (next >= 0) choose(next);
  else tell("chosen");
}

export async function accept() {
  if (await send("accept")) onward("Accepted");
}

export async function rejectFor(reason) {
  lastReason = reason;
  if (reason && !state.about.reasons.includes(reason)) state.about.reasons.push(reason);
  if (await send("reject", { reason })) onward(reason ? `Rejected: ${reason}` : "Rejected");
}

/** Reject for the same reason as the last time; ask where there was none. */
export function rejectAgain() {
  if (lastReason) rejectFor(lastReason);
  else reject();
}

/** Ask for the reason: a number picks one, or it is typed. */
export function reject() {
  if (!state.sample) return;
  if (!state.sample.sample.messages.length) {
    send("reject");
    return;
  }
  const reasons = [...new Set([...state.about.reasons, ...COMMON])].slice(0, 9);
  const input = h("input", {
    class: "field",
    autofocus: true,
    maxlength: 500,
    placeholder: "Type a reason, or press a number",
    "aria-label": "Reason",
    autocomplete: "off",
  });
  const pick = (reason) => (close(), rejectFor(reason));
  const form = h(
    "form",
    { method: "dialog", class: "reasons" },
    input,
    h(
      "ol",
      {},
      reasons.map((reason, at) =>
        h(
          "li",
          {},
          h(
            "button",
            { class: "button quiet", type: "button", onclick: () => pick(reason) },
            h("kbd", {}, at + 1),
            reason,
          ),
        ),
      ),
    ),
    h(
      "footer",
      {},
      h("span", { class: "muted small" }, "Enter without a text rejects without a reason."),
      h("button", { class: "button primary" }, "Reject"),
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    pick(input.value.trim());
  });
  input.addEventListener("keydown", (event) => {
    const chosen = reasons[Number(event.key) - 1];
    if (input.value || !chosen || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    pick(chosen);
  });
  const close = dialog("Why is it rejected?", form);
}

export function startEdit() {
  const found = state.sample;
  if (!found?.sample.messages.length || isEditing()) return;
  const leave = () => (tell("chosen"), get("rows").focus({ preventScroll: true }));
  edit(
    found,
    async (messages) => {
      const saved = await send("edit", { messages });
      if (saved) {
        get("rows").focus({ preventScroll: true });
        toast("Edited and accepted", { action: ["Undo", undo] });
        tell("chosen");
      }
      return saved;
    },
    leave,
  );
}

/** Take back the last decision of this page, and show that sample; else the decision on the sample that is shown. */
export async function undo() {
  const row = done.at(-1) ?? (state.sample?.brief.review ? state.sample.brief.row : null);
  if (row === null) {
    toast("There is nothing to take back.");
    return;
  }
  await takeBack(row);
}

export async function takeBack(row) {
  try {
    const now = await act("decide", { row, decision: "undo", author: state.author });
    const at = done.lastIndexOf(row);
    if (at >= 0) done.splice(at, 1);
    refresh(now.brief);
    tell("decided", now);
    toast("Taken back");
    const where = positionOf(row);
    if (where >= 0) choose(where);
    else tell("chosen");
  } catch (error) {
    toast(`Not saved: ${error.message}`, { bad: true });
  }
}

/** The bar of buttons above a sample. */
export function actions(found) {
  const { review } = found.brief;
  const off = !found.sample.messages.length;
  const button = (label, key, work, kind, now) =>
    h(
      "button",
      {
        class: `button act ${kind}`,
        "aria-pressed": now === undefined ? null : String(now),
        disabled: off,
        onclick: work,
      },
      label,
      h("kbd", {}, key),
    );
  return h(
    "div",
    { class: "actions" },
    button("Accept", "a", accept, "good", review?.decision === "accept"),
    button("Reject", "r", reject, "bad", review?.decision === "reject"),
    button("Edit", "e", startEdit, "edit", review?.decision === "edit"),
    review && h("button", { class: "button quiet", onclick: () => takeBack(found.brief.row) }, "Take back"),
  );
}
