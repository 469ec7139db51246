/* The server's requests. What it refuses, and that it is gone, become errors with a sentence for the reader. */

import { banner } from "./dom.js";

export class Refused extends Error {}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    banner(
      "gone",
      "The server is gone. Every decision so far is saved: start `curate view` again and open the new address.",
      ["Try again", () => location.reload()],
    );
    throw new Refused("the server is gone");
  }
  banner("gone", "");
  const value = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Refused(value.error ?? `The server answered ${response.status}.`);
  return value;
}

/** Ask for something that changes nothing. */
export function ask(name, given = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(given).filter(([, value]) => value !== "" && value !== null));
  return answered(fetch(`api/${name}?${query}`, { signal, credentials: "omit" }));
}

/** Change something. */
export function act(name, given = {}) {
  const headers = { "Content-Type": "application/json" };
  return answered(fetch(`api/${name}`, { method: "POST", headers, body: JSON.stringify(given), credentials: "omit" }));
}
