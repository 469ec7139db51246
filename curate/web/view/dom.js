/* Elements, notices and small words that every part of the page uses. Text is only ever set as text. */

/** An element: properties that begin with "on" are listeners, others attributes; children may be text. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const get = (id) => document.getElementById(id);

export const number = (value) => value.toLocaleString("en");

/** A count in few characters: 950, 12.3k, 136k. */
export const brief = (value) =>
  value < 10_000 ? number(value) : value.toLocaleString("en", { notation: "compact" }).toLowerCase();

export const many = (count, what) => `${number(count)} ${what}${count === 1 ? "" : "s"}`;

/** A reason or stage as people say it. */
export const spoken = (name) => String(name ?? "").replaceAll("_", " ");

/** Call `work` once, when it has not been asked for again for a moment. */
export function settled(work, wait) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
}

/** How long ago a time of the journal was. */
export function ago(time) {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

/** A notice that goes by itself; one with `action` ([label, function]) can be answered. */
export function toast(text, { bad = false, action = null } = {}) {
  const node = h("div", { class: bad ? "toast bad" : "toast", role: bad ? "alert" : null }, h("span", {}, text));
  if (action)
    node.append(h("button", { class: "button quiet", onclick: () => (node.remove(), action[1]()) }, action[0]));
  if (bad)
    node.append(h("button", { class: "button quiet", "aria-label": "Close", onclick: () => node.remove() }, "✕"));
  /* A complaint stays until it is read, beside the latest notice. */
  get("toasts")
    .querySelectorAll(bad ? ".toast.bad" : ".toast:not(.bad)")
    .forEach((each) => each.remove());
  get("toasts").append(node);
  if (!bad) setTimeout(() => node.remove(), 4000);
}

/** A notice that stays above the page until what it is about has changed. */
export function banner(id, text, action = null) {
  document.getElementById(`banner-${id}`)?.remove();
  if (!text) return;
  const node = h("div", { class: "banner", id: `banner-${id}` }, h("span", {}, text));
  if (action) node.append(h("button", { class: "button", onclick: action[1] }, action[0]));
  get("banners").append(node);
}

/** Show a dialog with these children; `close()` ends it. Its form answers by the submit listener that it came with. */
export function dialog(title, ...children) {
  const node = get("dialog");
  const close = () => node.close();
  const head = h(
    "header",
    {},
    h("h2", {}, title),
    h("button", { class: "button quiet", type: "button", "aria-label": "Close", onclick: close }, "✕"),
  );
  node.replaceChildren(head, ...children);
  if (!node.open) node.showModal();
  (node.querySelector("[autofocus]") ?? node).focus();
  return close;
}
