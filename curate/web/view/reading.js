/* While a large run is read: how far that is, and a promise for what only all samples can answer. */

import { ask } from "./api.js";
import { banner, number } from "./dom.js";
import { state } from "./state.js";

const PAUSE = 250;

let coming = null;

/** Are there samples that the server has yet to read? It lists the first ones meanwhile. */
export const isReading = () => Boolean(state.about.reading);

/** How many samples the list has, with those that are yet to come. */
export const listed = () => (isReading() ? state.about.kept : state.total);

/** Resolve once all samples are read. */
export function allRead() {
  coming ??= watch().finally(() => (coming = null));
  return coming;
}

async function watch() {
  try {
    while (isReading()) {
      tellProgress(state.about.reading);
      await new Promise((go) => setTimeout(go, PAUSE));
      state.about = await ask("about");
    }
  } finally {
    banner("reading", "");
  }
}

function tellProgress({ done, total, left }) {
  const share = Math.floor((100 * done) / total);
  const time = left === null ? "" : `, about ${Math.max(1, Math.round(left))} s left`;
  banner(
    "reading",
    `Indexing ${number(total)} samples: ${share} %${time}. ` +
      "The first ones can be read and decided on; search, filters and counts follow.",
  );
}
