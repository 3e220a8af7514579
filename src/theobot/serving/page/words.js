// The words of an answer as paragraphs, lists and emphasis: the little of Markdown that models
// write. Everything else, tags above all, stays the text that it is.
import { make } from "./dom.js";

const STRONG = 1;
const EMPHASIS = 2;
const HIDDEN = 4;

const HEADING = /^#{1,6}\s+/;
const BULLET = /^\s*[-*•]\s+/;
const NUMBER = /^\s*(\d{1,3})[.)]\s+/;
const OPENING = /[([“‘"'«]+$/;
const CLOSING = /^[)\]”’"'».,;:!?]+/;
const RULE = /^\s*([-*_])(\s*\1){2,}\s*$/;

/** Lines with the places of their code points, which is how the server counts. */
function* linesOf(chars) {
  let start = 0;
  for (let end = 0; end <= chars.length; end += 1) {
    if (end < chars.length && chars[end] !== "\n") continue;
    yield { start, end, text: chars.slice(start, end).join("") };
    start = end + 1;
  }
}

function beginOf(line) {
  const shapes = [["heading", HEADING], ["bullet", BULLET], ["number", NUMBER]];
  for (const [kind, pattern] of shapes) {
    const found = pattern.exec(line.text);
    if (found === null) continue;
    const skip = Array.from(found[0]).length;
    return { kind, start: line.start + skip, end: line.end, value: Number(found[1]) || null };
  }
  return { kind: "paragraph", start: line.start, end: line.end, value: null };
}

/** Blocks of a text: {kind, start, end, value}. */
export function blocksOf(chars) {
  const blocks = [];
  let open = null;
  for (const line of linesOf(chars)) {
    if (line.text.trim() === "" || RULE.test(line.text)) {
      open = null;
      continue;
    }
    const block = beginOf(line);
    if (open !== null && block.kind === "paragraph" && open.kind !== "heading") {
      open.end = line.end;
      continue;
    }
    blocks.push(block);
    open = block;
  }
  return blocks;
}

function closing(chars, from, end, length) {
  for (let at = from + 1; at + length <= end; at += 1) {
    if (chars[at] !== "*" || /\s/.test(chars[at - 1])) continue;
    if (length === 2 && chars[at + 1] === "*") return at;
    if (length === 1 && chars[at + 1] !== "*" && chars[at - 1] !== "*") return at;
  }
  return null;
}

/** Mark what stars stand around between two places. */
function emphasise(chars, styles, start, end) {
  for (let at = start; at < end; at += 1) {
    if (chars[at] !== "*") continue;
    const length = chars[at + 1] === "*" ? 2 : 1;
    const from = at + length;
    if (from >= end || /[\s*]/.test(chars[from])) continue;
    const to = closing(chars, from, end, length);
    if (to === null) continue;
    for (let star = 0; star < length; star += 1) styles[at + star] = styles[to + star] = HIDDEN;
    for (let inner = from; inner < to; inner += 1) styles[inner] |= length === 2 ? STRONG : EMPHASIS;
    if (length === 2) emphasise(chars, styles, from, to);
    at = to + length - 1;
  }
}

/** Stretches of one style and one citation. */
function* runsOf(chars, styles, block, citations) {
  let run = null;
  for (let at = block.start; at < block.end; at += 1) {
    if (styles[at] & HIDDEN) continue;
    const citation = citations.find((one) => one.start <= at && at < one.end) ?? null;
    if (run !== null && run.style === styles[at] && run.citation === citation) {
      run.text += chars[at];
      continue;
    }
    if (run !== null) yield run;
    run = { style: styles[at], citation, text: chars[at] };
  }
  if (run !== null) yield run;
}

function styled(run) {
  let node = document.createTextNode(run.text);
  if (run.style & EMPHASIS) node = make("em", {}, node);
  if (run.style & STRONG) node = make("strong", {}, node);
  return node;
}

/** Move the signs at the edge of a text into the unbroken place of the reference beside it. */
function bind(node, whole, signs) {
  const found = node?.nodeType === Node.TEXT_NODE ? signs.exec(node.data) : null;
  if (found === null) return;
  node.data = node.data.replace(signs, "");
  if (signs === OPENING) whole.prepend(found[0]);
  else whole.append(found[0]);
}

/** Fill an element with a block's words; what belongs below it is returned. */
function fill(element, chars, styles, block, citations, cite) {
  const below = [];
  let open = null;
  for (const run of runsOf(chars, styles, block, citations)) {
    const node = styled(run);
    if (run.citation === null) {
      if (open !== null) bind(node, open.whole, CLOSING);
      element.append(node);
      open = null;
      continue;
    }
    if (run.citation !== open?.citation) {
      const { button, place, panel } = cite(run.citation);
      const whole = make("span", { class: "whole" }, button);
      open = { citation: run.citation, place, whole };
      bind(element.lastChild, whole, OPENING);
      element.append(whole);
      below.push(panel);
    }
    open.place.append(node);
  }
  return below;
}

/** Blocks that stand together: each paragraph by itself, the items of a list in one. */
function groupsOf(blocks) {
  const groups = [];
  for (const block of blocks) {
    const before = groups.at(-1);
    const item = block.kind === "bullet" || block.kind === "number";
    if (item && before?.kind === block.kind) before.blocks.push(block);
    else groups.push({ kind: block.kind, blocks: [block] });
  }
  return groups;
}

function build(group, chars, styles, citations, cite) {
  if (group.kind === "paragraph" || group.kind === "heading") {
    const line = make("p", { dir: "auto", class: group.kind });
    const below = fill(line, chars, styles, group.blocks[0], citations, cite);
    return make("div", { class: "block" }, line, ...below);
  }
  const list = make(group.kind === "number" ? "ol" : "ul", { class: "block" });
  for (const block of group.blocks) {
    const item = make("li", { dir: "auto" });
    if (block.value !== null) item.value = block.value;
    item.append(...fill(item, chars, styles, block, citations, cite));
    list.append(item);
  }
  return list;
}

/** An element that shows a text, also while it grows. */
export class Words {
  constructor(element) {
    this.element = element;
    this.keys = [];
  }

  /**
   * Show a text. Of what is shown already, only what has changed is built again.
   * `cite` gives {button, place, panel} for a citation: its words go into the place.
   */
  show(text, citations = [], cite = null) {
    const chars = Array.from(text);
    const styles = new Uint8Array(chars.length);
    const blocks = blocksOf(chars);
    for (const block of blocks) emphasise(chars, styles, block.start, block.end);
    const groups = groupsOf(blocks);
    const keys = groups.map(({ kind, blocks: inside }) => {
      const [start, end] = [inside[0].start, inside.at(-1).end];
      const cited = citations.filter((one) => start <= one.start && one.start < end).length;
      return [kind, cited, chars.slice(start, end).join("")].join(" ");
    });
    const same = keys.findIndex((key, place) => key !== this.keys[place]);
    const from = same === -1 ? keys.length : same;
    while (this.element.children.length > from) this.element.lastElementChild.remove();
    for (const group of groups.slice(from)) {
      this.element.append(build(group, chars, styles, citations, cite));
    }
    this.keys = keys;
  }
}
