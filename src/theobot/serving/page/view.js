// A question with its answers on the page.
import { cite, inOrder, summary } from "./citations.js";
import { icon, make } from "./dom.js";
import { Words } from "./words.js";

const COPIED_FOR = 2000;
const WAITING = "Waiting for the first words";

let number = 0;

/** One model's answer: a heading, words that grow, their references, and what can be done next. */
export class AnswerView {
  constructor(name, arm, hints) {
    this.name = name;
    this.body = make("div", { class: "words" });
    this.words = new Words(this.body);
    this.state = make("p", { class: "state" });
    this.remarks = make("div", { class: "remarks" });
    this.checked = make("p", { class: "checked", hidden: true });
    this.actions = make("p", { class: "actions" });
    const heading = make("h3", { text: name });
    if (hints) heading.append(make("span", { class: "tag", text: "Hints first" }));
    this.element = make(
      "div",
      { class: `answer ${arm}` },
      heading,
      this.body,
      this.state,
      this.remarks,
      this.checked,
      this.actions,
    );
  }

  begin() {
    this.words.show("");
    this.state.textContent = WAITING;
    this.element.classList.add("writing");
    this.remarks.replaceChildren();
    this.actions.replaceChildren();
    this.checked.hidden = true;
  }

  write(text) {
    this.words.show(text);
    this.state.textContent = text === "" ? WAITING : "Writing";
  }

  end() {
    this.state.textContent = "";
    this.element.classList.remove("writing");
  }

  /** A remark below the words, in the page's own voice. */
  remark(text) {
    this.remarks.append(make("p", { class: "remark", text }));
  }

  /** Put the checks beside the references of the text. */
  check(text, citations) {
    const kept = inOrder(citations);
    this.words.show(text, kept, cite);
    const found = summary(kept);
    this.checked.replaceChildren(icon("book"), make("span", { text: `${found}.` }));
    this.checked.hidden = false;
    return found;
  }

  /** What went wrong, and a button that tries again, once `wait` seconds have passed. */
  fail(message, again, wait = 0) {
    const button = make("button", { type: "button", text: "Try again", onclick: again });
    this.remarks.append(
      make("div", { class: "problem" }, icon("missing"), make("p", { text: message }), button),
    );
    let left = wait;
    const tick = () => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
      if (left > 0) setTimeout(tick, 1000);
      left -= 1;
    };
    tick();
  }

  action(label, drawing, act) {
    const words = make("span", { text: label });
    const named = `${label} of ${this.name}`;
    const button = make(
      "button",
      { type: "button", class: "quiet", "aria-label": named, onclick: () => act(words) },
      icon(drawing),
      words,
    );
    this.actions.append(button);
  }

  /** A button that copies the words as they were written. */
  copyable(text, said) {
    this.action("Copy answer", "copy", async (label) => {
      const done = await copy(text);
      label.textContent = done ? "Copied" : "Copying was refused";
      said(done ? "The answer is copied." : "The browser did not allow copying.");
      setTimeout(() => (label.textContent = "Copy answer"), COPIED_FOR);
    });
  }
}

/** A question, what stands beside it for all its answers, and the answers. */
export class TurnView {
  constructor(question, arms, names, hints) {
    number += 1;
    const id = `question-${number}`;
    this.notices = new Map();
    this.both = arms.length > 1;
    this.answers = new Map(arms.map((arm) => [arm, new AnswerView(names.get(arm), arm, hints)]));
    this.beside = make("div", { class: "beside" });
    this.element = make(
      "article",
      { class: this.both ? "turn pair" : "turn", "aria-labelledby": id },
      make("p", { class: "eyebrow", text: "You asked", "aria-hidden": "true" }),
      make("h2", { id, class: "asked", text: question, dir: "auto" }),
      this.beside,
      make("div", { class: "answers" }, ...[...this.answers.values()].map((one) => one.element)),
    );
  }

  /** Something that a reader must not miss; both models may bring it, and it is said once. */
  notice(text) {
    if (this.notices.has(text)) return this.notices.get(text);
    const box = noticeOf(text);
    this.notices.set(text, box);
    this.beside.prepend(box);
    return box;
  }

  /** A text that no model wrote: it stands in place of an answer, with what was noted beside it. */
  fixed(arm, text) {
    this.answers.get(arm).element.hidden = true;
    this.element.classList.remove("pair");
    const box = this.notice(text);
    for (const [other, small] of this.notices) {
      if (small === box || !small.isConnected) continue;
      small.remove();
      box.lastElementChild.append(make("p", { class: "noted", text: other }));
    }
  }

  /** Verses that were put before the question. */
  given(verses) {
    if (verses.length === 0 || this.beside.querySelector(".given") !== null) return;
    const whom = this.both ? "both models" : "the model";
    const list = verses.map((verse) =>
      make(
        "figure",
        {},
        make("blockquote", { text: verse.text, dir: "auto" }),
        make(
          "figcaption",
          {},
          make("strong", { text: verse.reference }),
          make("span", { text: verse.translation }),
        ),
      ),
    );
    const title = make("span", { text: `Scripture text, given to ${whom} with the question` });
    this.beside.append(
      make("details", { class: "given", open: true }, make("summary", {}, icon("book"), title), ...list),
    );
  }
}

function noticeOf(text) {
  const words = make("div", { class: "words" });
  new Words(words).show(text);
  const title = make("h3", { text: "Please read this" });
  return make("div", { class: "notice", role: "alert" }, icon("info"), title, words);
}

/** Copy a text; without `clipboard`, which plain http lacks, the old way. */
async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not permitted; the old way may be.
    }
  }
  const before = document.activeElement;
  const area = make("textarea", { class: "unseen", readonly: true, "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus({ preventScroll: true });
  return done;
}
