/* The keys. None of them does anything while a text is being typed or a dialog is open. */

import { dialog, get, h } from "./dom.js";
import { choose, nextOpen } from "./list.js";
import { accept, reject, rejectAgain, startEdit, undo } from "./review.js";
import { state } from "./state.js";

const KEYS = [
  [["j", "ArrowDown"], "j  ↓", "the next sample", () => choose(state.index + 1)],
  [["k", "ArrowUp"], "k  ↑", "the one before", () => choose(state.index - 1)],
  [["n"], "n", "the next undecided sample", () => choose(Math.max(nextOpen(state.index), state.index))],
  [["a"], "a", "accept, and go on", accept],
  [["r"], "r", "reject: pick a reason by its number, or type one", reject],
  [["R"], "R", "reject for the same reason as the last time", rejectAgain],
  [["e"], "e", "edit; Ctrl ↵ saves, Esc cancels", startEdit],
  [["u"], "u", "take back the last decision", undo],
  [["/"], "/", "search; Esc leaves the field", () => get("q").select()],
  [["Home"], "Home", "the first sample", () => choose(0)],
  [["End"], "End", "the last sample", () => choose(state.total - 1)],
  [["PageDown"], "PgDn  PgUp", "scroll the sample", () => scroll(1)],
  [["PageUp"], "", "", () => scroll(-1)],
  [["?"], "?", "this list", showKeys],
];

const WORK = new Map(KEYS.flatMap(([names, , , work]) => names.map((name) => [name, work])));

function scroll(direction) {
  get("detail").scrollBy({ top: direction * get("detail").clientHeight * 0.85 });
}

export function showKeys() {
  dialog(
    "Keys",
    h(
      "dl",
      { class: "keys" },
      KEYS.filter(([, shown]) => shown).map(([, shown, what]) => [
        h(
          "dt",
          {},
          shown.split("  ").map((key) => h("kbd", {}, key)),
        ),
        h("dd", {}, what),
      ]),
    ),
  );
}

const isTyping = (target) => target.closest("input:not([type=radio]), textarea, select, [contenteditable]");

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (get("dialog").open || isTyping(event.target)) return;
    const work = WORK.get(event.key);
    if (!work) return;
    event.preventDefault();
    work();
  });
}
