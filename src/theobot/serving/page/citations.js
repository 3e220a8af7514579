// References in an answer: what the check found, said beside each, and the words of the place.
import { count, icon, make, sentence } from "./dom.js";

export const CHECKS = {
  exists: {
    words: "exists",
    meaning: "There is such a place. Whether the answer uses it rightly is for you to judge.",
    note: "There is such a place. Whether the answer uses it rightly is for you to judge.",
  },
  missing: {
    words: "does not exist",
    meaning: "There is no such place: the reference is made up or mixed up.",
    note: "The reference is made up or mixed up.",
  },
  too_broad: {
    words: "too broad",
    meaning: "It names a whole chapter or book; only verses can be checked.",
    note: "",
  },
  omitted: {
    words: "not in all Bibles",
    meaning: "Older Bibles have this verse; many newer ones leave it out or put it in a footnote.",
    note: "",
  },
  unverifiable: {
    words: "cannot verify",
    meaning: "The place is not in the lists that this program can look in. Look it up yourself.",
    note: "Look it up yourself.",
  },
};

let number = 0;

function panelOf(citation, id) {
  const check = CHECKS[citation.status];
  const panel = make("div", { id, class: `verse ${citation.status}`, hidden: true });
  panel.append(make("p", { class: "verse-head" }, make("strong", { text: citation.reference })));
  if (citation.verse_text !== null) {
    panel.firstElementChild.append(make("span", { text: citation.translation }));
    panel.append(make("blockquote", { text: citation.verse_text, dir: "auto" }));
  }
  const absent = citation.verse_text === null && citation.status === "exists";
  const said = citation.reason ? [sentence(citation.reason), check.note] : [check.meaning];
  if (absent) said.push("Its words are not kept here; look it up.");
  panel.append(make("p", { class: "verse-note", text: said.join(" ").trim() }));
  return panel;
}

/** A button that says the check and opens the panel below; the reference goes into `place`. */
export function cite(citation) {
  number += 1;
  const panel = panelOf(citation, `verse-${number}`);
  const place = make("span", { class: "place" });
  const check = make(
    "span",
    { class: "check" },
    icon(citation.status),
    make("span", { text: CHECKS[citation.status].words }),
  );
  const button = make(
    "button",
    { type: "button", class: `cite ${citation.status}`, "aria-expanded": "false", "aria-controls": panel.id },
    place,
    document.createTextNode(" "),
    check,
  );
  button.addEventListener("click", () => {
    panel.hidden = !panel.hidden;
    button.setAttribute("aria-expanded", String(!panel.hidden));
  });
  return { button, place, panel };
}

/** Citations that do not overlap, in order. */
export function inOrder(citations) {
  const kept = [];
  for (const one of [...citations].sort((a, b) => a.start - b.start)) {
    if (kept.length === 0 || one.start >= kept.at(-1).end) kept.push(one);
  }
  return kept;
}

/** "3 references (2 exist, 1 does not exist)", for the eye and for the status line. */
export function summary(citations) {
  if (citations.length === 0) return "No references to scripture";
  if (citations.every(({ status }) => status === "exists")) {
    return citations.length === 1 ? "1 reference (it exists)" : `${citations.length} references (all exist)`;
  }
  const parts = Object.entries(CHECKS).flatMap(([status, { words }]) => {
    const found = citations.filter((one) => one.status === status).length;
    if (found === 0) return [];
    return [`${found} ${found === 1 ? words : plural(status, words)}`];
  });
  return `${count(citations.length, "reference")} (${parts.join(", ")})`;
}

function plural(status, words) {
  return { exists: "exist", missing: "do not exist" }[status] ?? words;
}
