/* Marks what was searched for in text that is on the page already. */

/** Wrap every place in `node` where one of `terms` stands in a <mark>; formulas are left as they are. */
export function mark(node, terms) {
  const pattern = patternOf(terms);
  if (!pattern) return;
  const texts = document.createTreeWalker(node, NodeFilter.SHOW_TEXT, {
    acceptNode: (text) => (text.parentElement.closest("math") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT),
  });
  const found = [];
  while (texts.nextNode()) if (texts.currentNode.data.search(pattern) >= 0) found.push(texts.currentNode);
  for (const text of found) {
    const parts = document.createDocumentFragment();
    let end = 0;
    for (const match of text.data.matchAll(pattern)) {
      const marked = document.createElement("mark");
      marked.textContent = match[0];
      parts.append(text.data.slice(end, match.index), marked);
      end = match.index + match[0].length;
    }
    parts.append(text.data.slice(end));
    text.replaceWith(parts);
  }
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const UNSPACED = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

/** The pattern by which the index finds these terms: whole words, of which an open one may go on. */
function patternOf(terms) {
  if (!terms.length) return null;
  const parts = terms.map(({ tokens, open }) => {
    const text = tokens.map(escaped).join("[^\\p{L}\\p{N}]*");
    if (UNSPACED.test(tokens[0])) return text;
    return `(?<![\\p{L}\\p{N}])${text}${open ? "[\\p{L}\\p{N}]*" : "(?![\\p{L}\\p{N}])"}`;
  });
  return new RegExp(parts.join("|"), "giu");
}
