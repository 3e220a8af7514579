// Questions to begin with, by theme and by kind.
import { byId, count, make } from "./dom.js";

const KINDS = {
  mcq_1: "Multiple choice",
  short_1: "Short answer",
  define: "Key term",
  explain_4_influence: "Explain the influence of a belief",
  explain_4_similar: "Explain similar beliefs",
  explain_4_different: "Explain different beliefs",
  explain_6_source: "Explain with a source",
  evaluate_12: "Evaluate a statement",
  scripture_message: "Meaning of a text",
  misconception: "Common mistake",
  cannot_verify: "Doubtful source",
};

const WIDE = "(min-width: 46rem)";

const nameOf = (kind) => KINDS[kind] ?? kind;

function starterOf(starter, chosen) {
  const button = make(
    "button",
    { type: "button", class: "starter", onclick: () => chosen(starter.text) },
    make("span", { class: "kind", text: nameOf(starter.type) }),
    make("span", { text: starter.text, dir: "auto" }),
  );
  return make("li", { "data-kind": starter.type }, button);
}

function themeOf(theme, open, chosen) {
  return make(
    "details",
    { class: "theme", open },
    make("summary", {}, make("h3", { text: theme.title })),
    make("ul", {}, ...theme.starters.map((starter) => starterOf(starter, chosen))),
  );
}

/** Show only one kind of question; the empty kind is all of them. */
function filter(kind) {
  let shown = 0;
  for (const theme of byId("themes").children) {
    const items = [...theme.querySelectorAll("li")];
    for (const item of items) item.hidden = kind !== "" && item.dataset.kind !== kind;
    const left = items.filter((item) => !item.hidden).length;
    theme.hidden = left === 0;
    if (kind !== "" && left > 0) theme.open = true;
    shown += left;
  }
  byId("kind-count").textContent = kind === "" ? "" : count(shown, "question");
}

/** Build the list; `chosen` gets the text of a question that somebody picks. */
export function showStarters(themes, types, chosen) {
  const wide = matchMedia(WIDE).matches;
  const built = themes.map((theme, place) => themeOf(theme, wide || place === 0, chosen));
  byId("themes").replaceChildren(...built);
  const used = new Set(themes.flatMap((theme) => theme.starters.map((starter) => starter.type)));
  const kinds = types.filter(({ id }) => used.has(id));
  byId("kind").replaceChildren(
    make("option", { value: "", text: "All kinds" }),
    ...kinds.map(({ id }) => make("option", { value: id, text: nameOf(id) })),
  );
  byId("kind").addEventListener("change", (event) => filter(event.target.value));
}
