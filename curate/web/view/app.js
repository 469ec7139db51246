/* The page of `curate view`: puts the parts together, and asks the server when the reader asks for something else. */

import { act, ask } from "./api.js";
import { banner, dialog, get, h, many, number, settled, toast } from "./dom.js";
import { hasDrafts, isEditing } from "./edit.js";
import { show, showNothing } from "./detail.js";
import * as keys from "./keys.js";
import * as list from "./list.js";
import { actions } from "./review.js";
import * as side from "./side.js";
import { allRead, isReading, listed } from "./reading.js";
import { isNarrowed, isPlain, keepAddress, on, readAddress, state, tell, want, wantNothing } from "./state.js";
import * as tree from "./tree.js";

let searching = null;

/** Search for what the reader asks for, and go to a position of what is found. */
async function search(at = 0) {
  searching?.abort();
  searching = new AbortController();
  const { signal } = searching;
  side.draw();
  tree.draw();
  drawChips();
  try {
    const isFirst = isReading() && isPlain() && at < state.about.reading.first;
    if (isReading() && !isFirst) {
      get("total").replaceChildren(h("span", { class: "muted" }, "Indexing… the answer follows"));
      await allRead();
    }
    if (signal.aborted) return;
    const found = await ask("search", state.wish, signal);
    if (signal.aborted) return;
    state.index = -1;
    list.fill(found);
    drawTotal();
    if (found.total) list.choose(at);
    else nothing();
    if (isFirst) await goOn(signal);
    if (signal.aborted) return;
    await count(signal);
  } catch (error) {
    if (!signal.aborted) toast(error.message, { bad: true });
  }
}

/** Once all samples are read, let the list of the first ones go on; the reader stays where he is. */
async function goOn(signal) {
  await allRead();
  if (signal.aborted) return;
  const found = await ask("search", state.wish, signal);
  if (signal.aborted) return;
  list.extend(found);
  /* Its nearest sample may be one of those that came now. */
  const { sample } = state;
  if (sample?.near && !sample.neighbour && !isEditing()) tell("chosen");
}

async function count(signal = undefined) {
  if (isReading()) return;
  const facets = await ask("facets", state.wish, signal);
  if (signal?.aborted) return;
  state.facets = facets;
  side.draw();
  tree.draw();
  drawTotal();
}

const countSoon = settled(() => count().catch(() => {}), 250);

function drawTotal() {
  const known = state.facets?.reviews;
  const done = known ? Object.entries(known).reduce((sum, [name, each]) => sum + (name === "open" ? 0 : each), 0) : 0;
  get("total").replaceChildren(
    h("strong", {}, many(listed(), "sample")),
    done ? h("span", { class: "muted" }, ` · ${number(done)} reviewed`) : "",
  );
}

function drawChips() {
  const { wish } = state;
  const chip = (text, part) =>
    h("button", { class: "chip", title: "Take this back", onclick: () => want(part) }, text, " ✕");
  get("chips").replaceChildren(
    ...[
      wish.task && chip(state.nodes.get(wish.task)?.name ?? "task", { task: "" }),
      wish.reason && chip(wish.reason.replaceAll("_", " "), { stage: "", reason: "" }),
      wish.review !== "any" &&
        chip({ open: "undecided", accept: "accepted", reject: "rejected", edit: "edited" }[wish.review], {
          review: "any",
        }),
    ].filter(Boolean),
  );
}

/** Say why the list is empty. */
function nothing() {
  state.sample = null;
  keepAddress();
  if (isNarrowed()) {
    showNothing(
      h("h2", {}, "No sample fits"),
      h("p", { class: "muted" }, 'Words find their beginnings; "quoted words" are found as they stand.'),
      h(
        "button",
        { class: "button", onclick: () => ((get("q").value = ""), wantNothing()) },
        "Clear search and filters",
      ),
    );
  } else if (state.about.kept + state.about.dropped === 0) {
    showNothing(
      h("h2", {}, "No samples yet"),
      h(
        "p",
        { class: "muted" },
        state.nodes.size
          ? "There is a task tree, which can be changed here. This writes samples for it:"
          : "The dataset is empty.",
      ),
      state.about.explore && h("p", {}, h("code", { class: "command" }, state.about.explore)),
    );
  } else {
    showNothing(
      h("h2", {}, "Nothing here"),
      h("p", { class: "muted" }, state.wish.which === "dropped" ? "No sample was dropped." : "No sample was kept."),
    );
  }
}

/** Show the sample at the position that was chosen; only the last one of a quick succession. */
let wanted = 0;
async function showChosen() {
  const turn = (wanted += 1);
  /* Until it is shown there is nothing to decide on: a hasty key must not reach the one before. */
  state.sample = null;
  get("detail").setAttribute("aria-busy", "true");
  try {
    const row = await list.rowAt(state.index);
    if (row === undefined) return;
    const found = await ask("sample", { row });
    if (turn !== wanted) return;
    state.sample = found;
    show(found, actions(found));
    get("detail").setAttribute("aria-busy", "false");
  } catch (error) {
    if (turn === wanted) toast(error.message, { bad: true });
  }
}

function askAuthor() {
  const input = h("input", {
    class: "field",
    autofocus: true,
    maxlength: 100,
    value: state.author,
    "aria-label": "Name",
  });
  const form = h(
    "form",
    { method: "dialog", class: "stack" },
    h(
      "p",
      { class: "muted" },
      "Stands beside each decision in the journal. Set CURATE_AUTHOR to have it the next time too.",
    ),
    input,
    h("footer", {}, h("button", { class: "button primary" }, "Keep")),
  );
  form.addEventListener("submit", () => setAuthor(input.value.trim()));
  dialog("Who decides?", form);
}

function setAuthor(name) {
  state.author = name;
  sessionStorage.setItem("author", name);
  get("author").replaceChildren("as ", h("strong", {}, name || "nobody"));
}

function askExport() {
  const { about } = state;
  const format = h(
    "select",
    { class: "field", "aria-label": "Format" },
    about.formats.map((name) => h("option", { value: name, selected: name === about.format }, name)),
  );
  const command = h("code", { class: "command" });
  const spell = () => (command.textContent = `${about.command} --format ${format.value}`);
  format.addEventListener("change", spell);
  spell();
  const result = h("p", { class: "result", role: "status" });
  const write = h("button", { class: "button primary" }, "Write it");
  const form = h(
    "form",
    { method: "dialog", class: "stack" },
    h(
      "p",
      {},
      "Writes the dataset as your decisions leave it: rejected samples are left out, accepted ones come in, ",
      "edited ones carry the new text.",
    ),
    h("label", {}, h("span", {}, "Format"), format),
    h("p", { class: "muted" }, "Folder ", h("span", { class: "mono" }, about.out)),
    h("p", { class: "muted small" }, "The same on the command line:"),
    command,
    result,
    h("footer", {}, write),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    write.disabled = true;
    result.className = "result";
    result.textContent = "Writing …";
    try {
      const made = await act("export", { format: format.value });
      const byHand = made.by_hand ? ` (${made.by_hand})` : "";
      result.textContent = `${many(made.rows, "row")} written to ${made.out}${byHand}.`;
    } catch (error) {
      result.classList.add("problem");
      result.textContent = error.message;
    }
    write.disabled = false;
  });
  dialog("Export", form);
}

/** Say what has become of the source meanwhile. */
function drawBanners(about) {
  const renew = async () => {
    try {
      state.about = await act("reopen");
      location.reload();
    } catch (error) {
      toast(error.message, { bad: true });
    }
  };
  banner("stale", about.stale ? "There are other samples than when this list was made." : "", [
    "Show them",
    renew,
  ]);
  banner(
    "busy",
    about.busy
      ? "A run is at work in this folder. Looking and deciding is fine; changes to the tree wait for the next run."
      : "",
  );
  banner("warnings", about.warnings.join(" "));
  banner("problem", about.problem && `Only the first ${many(about.kept, "sample")} can be shown: ${about.problem}`);
}

async function start() {
  try {
    state.about = await ask("about");
    const at = readAddress();
    get("name").textContent = state.about.name;
    get("path").textContent = state.about.path;
    document.title = `${state.about.name} · curate view`;
    get("q").value = state.wish.q;
    setAuthor(sessionStorage.getItem("author") ?? state.about.author);
    drawBanners(state.about);
    side.start();
    tree.take(await ask("tree"));
    get("rows").focus({ preventScroll: true });
    if (isReading())
      allRead()
        .then(takeAll)
        .catch(() => {});
    await search(at);
  } catch (error) {
    showNothing(h("h2", {}, "This cannot be shown"), h("p", {}, error.message));
  }
}

/** All samples are read: counts and orders are those of all now, and a task that only later ones have comes in. */
async function takeAll() {
  side.start();
  side.draw();
  drawBanners(state.about);
  tree.take(await ask("tree"));
}

/** On a narrow page the filters lie over the list while they are wanted. */
function openSide(open) {
  get("side").classList.toggle("open", open);
  get("open-side").setAttribute("aria-expanded", String(open));
}

on("wish", () => search());
on("chosen", showChosen);
on("decided", countSoon);
on("tree", (now) => {
  drawBanners({ ...state.about, busy: now.busy, warnings: [...state.about.warnings, ...now.notes] });
  countSoon();
  tell("chosen");
});
keys.start();
get("q").addEventListener(
  "input",
  settled(() => want({ q: get("q").value.trim() }), 60),
);
get("q").addEventListener("keydown", (event) => {
  if (event.key !== "Escape" && event.key !== "Enter") return;
  event.preventDefault();
  get("rows").focus({ preventScroll: true });
});
get("help").addEventListener("click", keys.showKeys);
get("author").addEventListener("click", askAuthor);
get("export").addEventListener("click", askExport);
get("open-side").addEventListener("click", () => openSide(!get("side").classList.contains("open")));
for (const pane of [get("detail"), get("rows")]) pane.addEventListener("pointerdown", () => openSide(false));
get("dialog").addEventListener("click", (event) => event.target === get("dialog") && get("dialog").close());
window.addEventListener("beforeunload", (event) => hasDrafts() && event.preventDefault());
start();
