/* What the reader asks for and where he is. The address keeps it, so that reloading comes back to the same place. */

const NOTHING = { q: "", which: "kept", task: "", stage: "", reason: "", review: "any", order: "order" };

export const state = {
  about: null,
  author: "",
  wish: { ...NOTHING },
  view: 0,
  total: 0,
  terms: [],
  index: -1,
  sample: null,
  facets: null,
  nodes: new Map(),
};

const listeners = new Map();

export function on(name, work) {
  listeners.set(name, [...(listeners.get(name) ?? []), work]);
}

export function tell(name, ...given) {
  for (const work of listeners.get(name) ?? []) work(...given);
}

/** Ask for something else; "" and the like take a part back. */
export function want(changes) {
  Object.assign(state.wish, changes);
  tell("wish");
}

export function wantNothing() {
  want({ ...NOTHING, which: state.wish.which, order: state.wish.order });
}

/** Is anything but kept or dropped and the order asked for? */
export function isNarrowed() {
  return ["q", "task", "stage", "reason", "review"].some((name) => state.wish[name] !== NOTHING[name]);
}

/** Is the list that of all kept samples as they lie? */
export const isPlain = () => Object.entries(state.wish).every(([name, value]) => value === NOTHING[name]);

export function keepAddress() {
  const parts = Object.entries(state.wish).filter(([name, value]) => value !== NOTHING[name]);
  if (state.index > 0) parts.push(["at", state.index]);
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

/** Take the wish from the address; return the position in its list. */
export function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(NOTHING)) state.wish[name] = given.get(name) ?? NOTHING[name];
  return Number.parseInt(given.get("at") ?? "0", 10) || 0;
}
