"use strict";

/* Text that a model wrote, as DOM nodes: formulas become MathML, code stands in <code>, everything else is text.
 *
 * Formulas are $…$, $$…$$, \(…\) and \[…\]; code is `…` and ```…```. Only text nodes, <code>, <pre>, <span> and what
 * Temml builds with trust off are ever made, so nothing in a text can become an element, a link or a script.
 * What Temml cannot read stands as its source.
 *
 *     prose.fill(element, text)     replaces what the element holds
 *     prose.nodes(text)             a DocumentFragment
 */
const prose = (() => {
  /* A longer formula is shown as its source: it is no formula, or one made to keep a browser busy. */
  const LONGEST = 4000;

  /* Marks deeper in each other take seconds to lay out; no formula that people read comes near. */
  const DEEPEST = Array(100).fill("*").join(">");

  /* What follows after so many characters, or so many formulas and codes, stands as its source: it must not take long. */
  const MOST = 100_000;
  const MANY = 2000;

  const OPTIONS = { trust: false, throwOnError: true, strict: false, maxExpand: 500, maxSize: [20, 40] };

  const anything = `[^]{1,${LONGEST}}?`;
  const PARTS = new RegExp(
    [
      /* A fence that a cut text never closes goes on to its end. */
      "^[ \\t]*```[^\\n`]*\\n(?<fence>[^]*?)(?:\\n[ \\t]*```[ \\t]*$|$(?![^]))",
      "`(?<code>[^`\\n]+)`",
      `\\$\\$(?<dollars>${anything})\\$\\$`,
      `\\\\\\[(?<display>${anything})\\\\\\]`,
      `\\\\\\((?<inline>${anything})\\\\\\)`,
      "(?<escaped>\\\\[\\\\$])",
      /* As Pandoc has it: no blank beside the marks and no digit after them, so that "$5 or $6" is money. */
      `(?<!\\\\)\\$(?=[^\\s$])(?<dollar>(?:\\\\[^]|[^$\\\\\\n]|\\n(?!\\s*\\n)){1,${LONGEST}}?)(?<!\\s)\\$(?!\\d)`,
    ].join("|"),
    "gm",
  );

  function formula(source, whole, display) {
    const span = document.createElement("span");
    if (display) span.className = "display";
    try {
      temml.render(source, span, { ...OPTIONS, displayMode: display });
      if (span.querySelector(DEEPEST)) throw new Error("too deep");
    } catch {
      span.className = "";
      span.textContent = whole;
    }
    return span;
  }

  function code(text, block) {
    const node = document.createElement("code");
    node.textContent = text;
    if (!block) return node;
    const pre = document.createElement("pre");
    pre.append(node);
    return pre;
  }

  function part(match) {
    const [whole] = match;
    const { fence, code: inlineCode, dollars, display, inline, escaped, dollar } = match.groups;
    if (fence !== undefined) return code(fence, true);
    if (inlineCode !== undefined) return code(inlineCode, false);
    if (dollars !== undefined) return formula(dollars, whole, true);
    if (display !== undefined) return formula(display, whole, true);
    if (inline !== undefined) return formula(inline, whole, false);
    if (escaped !== undefined) return escaped === "\\$" ? "$" : escaped;
    return formula(dollar, whole, false);
  }

  function nodes(text) {
    const made = document.createDocumentFragment();
    let end = 0;
    let block = false;
    let many = 0;
    for (const match of text.slice(0, MOST).matchAll(PARTS)) {
      if (++many > MANY) break;
      const node = part(match);
      const before = block ? text.slice(end, match.index).replace(/^\n{1,2}/, "") : text.slice(end, match.index);
      /* A block stands on lines of its own: the line ends around it would be empty lines. */
      block = node.nodeName === "PRE" || node.className === "display";
      made.append(block ? before.replace(/\n{1,2}$/, "") : before, node);
      end = match.index + match[0].length;
    }
    made.append(block ? text.slice(end).replace(/^\n{1,2}/, "") : text.slice(end));
    return made;
  }

  function fill(element, text) {
    element.replaceChildren(nodes(text));
    return element;
  }

  return { nodes, fill };
})();
