// The page: what the keys, buttons and switches do.
import { about, takeToken } from "./api.js";
import { CHECKS } from "./citations.js";
import { byId, icon, make } from "./dom.js";
import { Gate } from "./gate.js";
import { showStarters } from "./starters.js";
import { Talk } from "./talk.js";

const NARROW = "(max-width: 46rem)";
const TOUCH = "(pointer: coarse)";
const MOST_ROWS_PX = 220;

const question = byId("question");
const composer = byId("composer");
const log = byId("log");

let talk = null;
let models = [];
let followed = null;

function say(text) {
  byId("status").textContent = text;
}

// ----- what the server says about itself

async function start() {
  byId("offline").hidden = true;
  try {
    open(await about(), false);
  } catch (refusal) {
    if (gate.show(refusal)) return;
    byId("offline-text").textContent = refusal.message;
    byId("offline").hidden = false;
  }
}

/** Show the page for this server; after a new class code, keep the conversation. */
function open(told, entered) {
  if (talk !== null) return question.focus();
  models = told.models;
  const names = new Map(models.map(({ id, name }) => [id, name]));
  talk = new Talk(log, names, {
    began, grew, ended, said: say, locked: (refusal) => gate.show(refusal),
    full: (turn) => ask(turn.question, { ...turn.options, hints: false }),
  });
  byId("compare-switch").hidden = models.length < 2;
  byId("scripture").checked = told.scripture.on;
  byId("hints").checked = told.hints_first.on;
  tellPrivacy(told.logging);
  tellAbout(told);
  showStarters(told.themes, told.question_types, pick);
  byId("starters").hidden = false;
  composer.hidden = false;
  fit();
  if (entered) question.focus();
}

function tellPrivacy(logging) {
  const notice = logging?.notice ?? "Nothing you type is stored. Close this page, and it is gone.";
  for (const place of document.querySelectorAll(".privacy")) place.textContent = notice;
}

function tellAbout(told) {
  const lines = {
    "fact-model": told.base_model,
    "fact-device": told.device,
    "fact-version": `Theobot ${told.version}`,
    "fact-translation": told.scripture.translation,
  };
  for (const [id, text] of Object.entries(lines)) {
    byId(id).textContent = text;
    byId(id).parentElement.hidden = !text;
  }
  byId("only-base").hidden = models.some(({ id }) => id === "theobot");
  byId("checks").replaceChildren(
    ...Object.entries(CHECKS).map(([status, { words, meaning }]) =>
      make(
        "div",
        {},
        make("dt", { class: `check ${status}` }, icon(status), make("span", { text: words })),
        make("dd", { text: meaning }),
      ),
    ),
  );
}

// ----- asking

function pick(text) {
  question.value = text;
  fit();
  composer.scrollIntoView({ block: "nearest" });
  question.focus();
  question.setSelectionRange(text.length, text.length);
  say("The question is in the box. Change it as you like; Enter asks it.");
}

function submit() {
  const text = question.value.trim();
  if (talk.busy) return say("An answer is still being written. Esc stops it.");
  if (text === "") {
    say("Type a question first.");
    return question.focus();
  }
  question.value = "";
  fit();
  ask(text, { scripture: byId("scripture").checked, hints: byId("hints").checked });
}

function ask(text, options) {
  if (talk.busy) return;
  const both = models.length > 1 && byId("compare").checked;
  const arms = both ? models.map(({ id }) => id) : [models.at(-1).id];
  talk.ask(text, arms, options);
}

function began(turn) {
  document.body.classList.remove("empty");
  byId("starters-fold").open = false;
  question.placeholder = "Ask a follow-up question";
  fit();
  setBusy(true);
  say(matchMedia(TOUCH).matches ? "The answer is being written." : "The answer is being written. Esc stops it.");
  followed = turn;
  turn.view.element.scrollIntoView({ block: "nearest" });
  grew(turn);
}

function ended(sentence) {
  setBusy(talk.busy);
  if (talk.busy) return;
  say(sentence);
  if (followed !== null) grew(followed);
}

function setBusy(busy) {
  composer.classList.toggle("busy", busy);
  byId("ask-label").textContent = busy ? "Stop" : "Ask";
  // On a phone the box makes room for the answer; the focus must not go with it.
  if (busy && matchMedia(NARROW).matches && document.activeElement === question) byId("ask").focus();
}

/** Scroll with an answer until its question has reached the top, or the reader scrolls. */
function grew(turn) {
  if (followed !== turn) return;
  const place = turn.view.element.getBoundingClientRect();
  const hidden = place.bottom - composer.getBoundingClientRect().top + 16;
  const room = place.top - 16;
  if (hidden > 0 && room > 0) scrollBy({ top: Math.min(hidden, room), behavior: "instant" });
}

function newTalk() {
  talk.clear();
  setBusy(false);
  document.body.classList.add("empty");
  byId("starters-fold").open = true;
  question.placeholder = question.dataset.first;
  fit();
  question.focus();
  say("A new conversation.");
}

/** Make the box as high as what is in it. */
function fit() {
  question.style.height = "auto";
  question.style.height = `${Math.min(question.scrollHeight + 2, MOST_ROWS_PX)}px`;
}

// ----- keys and buttons

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("ask").addEventListener("click", (event) => {
  if (!talk.busy) return;
  event.preventDefault();
  // The second half of a double click on "Ask" is no wish to stop.
  if (event.detail < 2) talk.stop();
});
question.addEventListener("input", fit);
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") talk?.stop();
});
for (const kind of ["wheel", "touchmove"]) {
  addEventListener(kind, () => (followed = null), { passive: true });
}
addEventListener("keydown", (event) => {
  if (/^(Page|Arrow|Home|End)/.test(event.key)) followed = null;
});
byId("new").addEventListener("click", newTalk);
byId("print").addEventListener("click", () => print());
byId("offline-again").addEventListener("click", start);
new ResizeObserver(() => {
  const sticks = getComputedStyle(composer).position === "sticky";
  document.documentElement.style.scrollPaddingBottom = sticks ? `${composer.offsetHeight + 16}px` : "";
}).observe(composer);

const gate = new Gate((told) => open(told, true));
takeToken();
start();
