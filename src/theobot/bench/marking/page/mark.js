"use strict";
// A marker's session. What is given stays in this browser at once (localStorage), and is written
// down as an entry when the card is left; a correction is a new entry. Each entry and each draft is
// kept under a key of its own, so that two tabs of the page cannot write over each other's marks.
// Answers are only ever inserted as text.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const cards = data.cards;
  const marking = data.mode === "mark";
  const what = marking ? "answer" : "pair";
  const storageKey = ["marks", data.session, data.marker, data.mode].join(":");
  const entryKey = (id) => `${storageKey}:entry:${id}`;
  const draftKey = (card) => `${storageKey}:draft:${card}`;
  const placeKey = `${storageKey}:place`;
  const letters = "abcdefghijkl";
  const criteria = {
    task: "Understands the task",
    scripture: "Faithful to scripture",
    reasoning: "Reasons with the theme",
    perspective: "Fits the tradition",
    specific: "Specific",
    clear: "Clear",
  };
  const choices = { left: "A is better", right: "B is better", equal: "Equal", poor: "Both poor" };
  const choiceKeys = { 1: "left", a: "left", 2: "right", b: "right", 3: "equal", e: "equal", 4: "poor", p: "poor" };
  const reasonKeys = ["5", "6", "7", "8", "9", "0"];

  let entries = [];
  let latest = new Map();
  let drafts = {};
  let downloaded = 0;
  let acknowledged = new Set();
  let keeps = true;
  let place = 0;
  let draft = null;
  let since = performance.now();
  let spent = 0;
  let typed = { value: "", at: 0 };
  let sending = false;
  let retry = null;

  // ----- small tools

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  const key = (text) => make("kbd", { text, "aria-hidden": "true" });
  const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

  function say(text, alert = false) {
    byId("status").textContent = text;
    byId("status").classList.toggle("alert", alert);
  }

  function randomId() {
    const bytes = crypto.getRandomValues(new Uint8Array(10));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function duration(seconds) {
    const minutes = Math.round(seconds / 60);
    if (minutes < 2) return "nearly done";
    if (minutes < 60) return `about ${minutes} min left`;
    const rounded = Math.round(minutes / 5) * 5;
    const rest = rounded % 60 ? ` ${rounded % 60} min` : "";
    return `about ${Math.floor(rounded / 60)} h${rest} left`;
  }

  // ----- what is kept

  // Write one value down, or with null take it away.
  function keep(key, value) {
    if (!keeps) return;
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {
      keeps = false;
    }
  }

  function recall() {
    try {
      for (const key of Object.keys(localStorage)) adopt(key, localStorage.getItem(key));
      const kept = Number(localStorage.getItem(placeKey));
      place = Math.min(Math.max(kept | 0, 0), cards.length - 1);
    } catch {
      keeps = false;
    }
    acknowledged = new Set(data.saved.map((entry) => entry.id));
    merge(data.saved);
  }

  // Take over what this browser keeps under a key; says whether it is an entry or a draft.
  function adopt(key, text) {
    if (key.startsWith(entryKey("")) && text !== null) {
      merge([JSON.parse(text)]);
    } else if (key.startsWith(draftKey(""))) {
      const card = key.slice(draftKey("").length);
      if (text === null) delete drafts[card];
      else drafts[card] = JSON.parse(text);
    } else {
      return false;
    }
    return true;
  }

  // Another tab of this page has kept something.
  function follow(event) {
    if (event.key === null || !adopt(event.key, event.newValue)) return;
    draft = draftOf(cards[place]);
    reflect();
    showPlaces();
    showProgress();
    if (data.server) send();
  }

  // Add entries that are new here, and keep them; says how many they are.
  function merge(found) {
    const known = new Set(entries.map((entry) => entry.id));
    const fresh = found.filter((entry) => !known.has(entry.id));
    for (const entry of fresh) keep(entryKey(entry.id), entry);
    entries = entries.concat(fresh);
    entries.sort((one, other) => (one.at < other.at ? -1 : one.at > other.at ? 1 : 0));
    latest = new Map(entries.map((entry) => [entry.card, entry]));
    return fresh.length;
  }

  function blank() {
    return marking
      ? { marks: null, points: [], wrong: false, scripture: false, criteria: {}, comment: "" }
      : { choice: null, reasons: [], comment: "" };
  }

  function draftOf(card) {
    if (drafts[card.id]) return { ...blank(), ...drafts[card.id] };
    const entry = latest.get(card.id);
    const fresh = blank();
    if (entry) for (const name of Object.keys(fresh)) fresh[name] = structuredClone(entry[name]);
    return fresh;
  }

  const complete = (sheet) => (marking ? sheet.marks : sheet.choice) !== null;
  const isMarked = (card) => latest.has(card.id) || (drafts[card.id] && complete(drafts[card.id]));

  function touched() {
    drafts[cards[place].id] = draft;
    keep(draftKey(cards[place].id), draft);
    showProgress();
    say(keeps ? "Kept in this browser." : "");
  }

  // Write the card down as an entry, if it is whole and differs from what was written before.
  function commit() {
    const card = cards[place];
    spent += document.hidden ? 0 : performance.now() - since;
    since = performance.now();
    if (drafts[card.id] && complete(draft)) {
      const before = latest.get(card.id);
      const same = before && Object.keys(draft).every(
        (name) => JSON.stringify(before[name]) === JSON.stringify(draft[name]));
      if (!same) {
        const entry = { id: randomId(), card: card.id, at: new Date().toISOString(), ms: Math.round(spent), ...draft };
        // A clock that was set back must not make an older entry the latest.
        if (before && entry.at <= before.at) entry.at = new Date(Date.parse(before.at) + 1).toISOString();
        merge([structuredClone(entry)]);
        spent = 0;
      }
      delete drafts[card.id];
      keep(draftKey(card.id), null);
    }
    if (data.server) send();
  }

  // ----- the server, if there is one

  async function send() {
    const waiting = entries.filter((entry) => !acknowledged.has(entry.id)).slice(0, 200);
    if (!waiting.length || sending) return;
    sending = true;
    clearTimeout(retry);
    let failure = null;
    try {
      const answer = await fetch("marks", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(waiting),
      });
      if (!answer.ok) failure = await answer.text();
    } catch {
      failure = "the server does not answer";
    }
    sending = false;
    if (failure === null) {
      for (const entry of waiting) acknowledged.add(entry.id);
      say("Saved on this computer.");
      send();
    } else {
      say(`Not saved yet (${failure}). Kept in this browser; trying again.`, true);
      retry = setTimeout(send, 4000);
    }
  }

  // ----- files

  function save() {
    commit();
    const file = {
      format: data.format, session: data.session, marker: data.marker,
      mode: data.mode, saved: new Date().toISOString(), entries,
    };
    const url = URL.createObjectURL(new Blob([JSON.stringify(file)], { type: "application/json" }));
    const name = data.marker.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
    const link = make("a", { href: url, download: `marks-${name}-${data.mode}.json` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    downloaded = entries.length;
    showProgress();
    say(`Saved ${count(latest.size, "judgement")} as a file in your downloads.`);
  }

  async function load(event) {
    const [chosen] = event.target.files;
    event.target.value = "";
    if (!chosen) return;
    let file = null;
    try {
      file = JSON.parse(await chosen.text());
    } catch {
      file = null;
    }
    if (!file || file.format !== data.format || !Array.isArray(file.entries)) {
      say("That is no file of saved marks.", true);
    } else if (file.session !== data.session || file.marker !== data.marker || file.mode !== data.mode) {
      say("Those marks belong to another page.", true);
    } else {
      commit();
      const known = new Set(cards.map((card) => card.id));
      const added = merge(file.entries.filter((entry) => known.has(entry.card)));
      if (data.server) send();
      show(place);
      say(added ? `Loaded ${count(added, "judgement")}.` : "Everything in that file was here already.");
    }
  }

  // ----- showing

  const seconds = (card) => (marking ? 12 + 13 * card.marks : 15 + 10 * card.marks);

  function showProgress() {
    const done = cards.filter(isMarked);
    byId("progress").value = done.length;
    const timed = done.filter((card) => latest.has(card.id) && latest.get(card.id).ms > 0);
    let pace = 1;
    if (timed.length >= 5) {
      const took = timed.reduce((sum, card) => sum + Math.min(latest.get(card.id).ms / 1000, 600), 0);
      pace = took / timed.reduce((sum, card) => sum + seconds(card), 0);
    }
    const left = cards.filter((card) => !isMarked(card)).reduce((sum, card) => sum + seconds(card), 0);
    const rest = done.length === cards.length ? "all marked" : duration(left * pace);
    byId("count").textContent = `${done.length} of ${cards.length} marked, ${rest}`;
    const button = byId("places").children[place]?.firstChild;
    if (button) labelPlace(button, place);
  }

  function labelPlace(button, at) {
    const marked = isMarked(cards[at]);
    button.classList.toggle("marked", marked);
    button.setAttribute("aria-label", `${what} ${at + 1}, ${marked ? "marked" : "not marked yet"}`);
    if (at === place) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  function show(at) {
    place = at;
    draft = draftOf(cards[at]);
    spent = 0;
    since = performance.now();
    typed = { value: "", at: 0 };
    const card = cards[at];
    byId("where").textContent = `${marking ? "Answer" : "Pair"} ${at + 1} of ${cards.length}, worth ${count(card.marks, "mark")}`;
    byId("question").textContent = card.question;
    byId("answers").replaceChildren(...card.answers.map((text, side) => answer(text, side)));
    byId("sheet").replaceChildren(...(marking ? markSheet(card) : preferSheet(card)));
    byId("previous").disabled = at === 0;
    showPlaces();
    reflect();
    showProgress();
    settle();
    keep(placeKey, place);
  }

  function showPlaces() {
    [...byId("places").children].forEach((item, number) => labelPlace(item.firstChild, number));
  }

  // A short answer stays in view while the mark scheme is scrolled.
  function settle() {
    const room = window.innerHeight - 160;
    byId("answers").classList.toggle("stays", marking && byId("answers").offsetHeight < room);
  }

  function answer(text, side) {
    const name = marking ? "Answer" : `Answer ${"AB"[side]}`;
    return make("section", { class: "answer", "aria-label": name },
      make("h3", { text: name }),
      make("div", { class: text ? "text" : "text none", dir: "auto", text: text || "(no text)" }));
  }

  function markSheet(card) {
    const options = [];
    for (let marks = 0; marks <= card.marks; marks += 1) {
      options.push(make("label", {},
        make("input", { type: "radio", name: "marks", value: marks, class: "unseen",
          "aria-label": `${marks} of ${card.marks}`, onchange: () => setMarks(marks) }),
        make("span", { class: "face", text: marks, "aria-hidden": "true" })));
    }
    return [
      make("fieldset", {},
        make("legend", { text: `Marks out of ${card.marks}` }),
        make("div", { class: "marks" }, ...options),
        card.marks > 9 ? make("p", { class: "hint", text: "For 10 and more type both digits; + and \u2212 change by one." }) : null),
      guide(card),
      make("fieldset", {},
        make("legend", { text: "Faults" }),
        tick("wrong", "Factually wrong", "w", () => flip("wrong")),
        tick("scripture", "Wrong or false scripture", "x", () => flip("scripture"))),
      points(card),
      reference(card),
      criteriaSheet(card),
      comment(),
    ].filter((part) => part !== null);
  }

  function guide(card) {
    if (!card.guide) return null;
    const levels = card.guide.levels.map(([range, text]) =>
      make("li", { "data-range": range }, make("b", { text: range.replace("-", "\u2013") }), make("span", { text })));
    return make("section", { "aria-label": "How marks are given" },
      make("h3", { text: "How marks are given" }),
      make("p", { class: "hint", text: card.guide.text }),
      levels.length ? make("ul", { class: "levels" }, ...levels) : null);
  }

  function points(card) {
    if (!card.points.length) return null;
    const ticks = card.points.map((point, at) => {
      const letter = letters[at] || "";
      const worth = point.marks === 1 ? "" : ` (${point.marks})`;
      const also = point.accept.length ? make("small", { text: `or: ${point.accept.join("; ")}` }) : null;
      return tick(`point-${at}`, point.text + worth, letter, () => flipPoint(at), also);
    });
    return make("fieldset", {},
      make("legend", { text: "Points in the answer" }),
      make("div", { class: "points" }, ...ticks),
      make("p", { class: "hint", id: "ticked" }));
  }

  function reference(card) {
    if (!card.reference) return null;
    return make("section", { "aria-label": "Expected answer" },
      make("h3", { text: "Expected answer" }),
      make("p", { class: "hint", dir: "auto", text: card.reference }));
  }

  function tick(id, text, letter, onchange, also = null) {
    return make("label", { class: "tick" },
      make("input", { type: "checkbox", id, onchange, "aria-keyshortcuts": letter || null }),
      make("span", { dir: "auto" }, text, also),
      letter ? key(letter) : make("span"));
  }

  function criteriaSheet(card) {
    const rows = Object.entries(criteria)
      .filter(([name]) => name !== "perspective" || card.tradition)
      .map(([name, text]) => make("fieldset", { class: "criterion" },
        make("legend", { text }),
        make("div", {}, ...["", "0", "1", "2"].map((value) => make("label", {},
          make("input", { type: "radio", name: `criterion-${name}`, value,
            "aria-label": value === "" ? "not judged" : `${value} of 2`, onchange: () => setCriterion(name, value) }),
          make("span", { text: value || "\u2013", "aria-hidden": "true" }))))));
    return make("details", { id: "criteria" },
      make("summary", { "aria-keyshortcuts": "o" }, "Six criteria, if you like ", key("o")),
      make("p", { class: "hint", text: "0 not at all, 1 in part, 2 fully." }), ...rows);
  }

  function comment() {
    return make("div", {},
      make("label", { for: "comment", class: "comment" }, "Comment ", key("n")),
      make("textarea", { id: "comment", maxlength: 4000, dir: "auto", "aria-keyshortcuts": "n",
        oninput: (event) => { draft.comment = event.target.value; touched(); } }));
  }

  function preferSheet(card) {
    const faces = Object.entries(choices).map(([value, text], at) => make("label", {},
      make("input", { type: "radio", name: "choice", value, class: "unseen", onchange: () => setChoice(value) }),
      make("span", { class: "face" }, key(String(at + 1)), text)));
    const chips = Object.entries(criteria)
      .filter(([name]) => name !== "perspective" || card.tradition)
      .map(([name, text]) => make("label", {},
        make("input", { type: "checkbox", id: `reason-${name}`, class: "unseen", onchange: () => flipReason(name) }),
        make("span", { class: "face" }, key(reasonKeys[Object.keys(criteria).indexOf(name)]), text)));
    const scheme = card.points.length
      ? make("details", {}, make("summary", { text: "Mark scheme" }),
          make("ul", { class: "levels" }, ...card.points.map((point) =>
            make("li", {}, make("b", { text: point.marks }), make("span", { dir: "auto", text: point.text })))))
      : null;
    return [
      make("fieldset", {}, make("legend", { text: "Which answer would get more marks?" }),
        make("div", { class: "choices" }, ...faces)),
      make("fieldset", {}, make("legend", { text: "Why, if you like" }),
        make("div", { class: "chips" }, ...chips)),
      scheme, reference(card), comment(),
    ].filter((part) => part !== null);
  }

  // Bring every control to what the draft says.
  function reflect() {
    const check = (id, on) => { const box = byId(id); if (box) box.checked = on; };
    byId("comment").value = draft.comment;
    if (marking) {
      for (const radio of document.getElementsByName("marks")) radio.checked = draft.marks === Number(radio.value);
      check("wrong", draft.wrong);
      check("scripture", draft.scripture);
      for (const name of Object.keys(criteria)) {
        const value = draft.criteria[name] === undefined ? "" : String(draft.criteria[name]);
        for (const radio of document.getElementsByName(`criterion-${name}`)) radio.checked = radio.value === value;
      }
      reflectPoints();
      reflectLevel();
    } else {
      for (const radio of document.getElementsByName("choice")) radio.checked = radio.value === draft.choice;
      for (const name of Object.keys(criteria)) check(`reason-${name}`, draft.reasons.includes(name));
      [...byId("answers").children].forEach((box, side) =>
        box.classList.toggle("chosen", draft.choice === ["left", "right"][side]));
    }
  }

  function reflectPoints() {
    const all = cards[place].points;
    all.forEach((point, at) => { byId(`point-${at}`).checked = draft.points.includes(at); });
    if (!all.length) return;
    const sum = draft.points.reduce((total, at) => total + all[at].marks, 0);
    byId("ticked").textContent = `Ticked: ${Math.min(sum, cards[place].marks)} of ${cards[place].marks}. The marks are yours to give.`;
  }

  function reflectLevel() {
    for (const level of document.querySelectorAll(".levels li")) {
      const [low, high = low] = level.dataset.range.split("-").map(Number);
      level.classList.toggle("here", draft.marks !== null && low <= draft.marks && draft.marks <= high);
    }
  }

  // ----- what a marker does

  function changed() {
    reflect();
    touched();
  }

  function setMarks(marks) {
    draft.marks = marks;
    changed();
    say(`${marks} of ${count(cards[place].marks, "mark")}.`);
  }

  function setChoice(choice) {
    draft.choice = choice;
    changed();
    say(`${choices[choice]}.`);
  }

  function setCriterion(name, value) {
    if (value === "") delete draft.criteria[name];
    else draft.criteria[name] = Number(value);
    changed();
  }

  function flip(name) {
    draft[name] = !draft[name];
    changed();
  }

  function flipPoint(at) {
    const ticked = draft.points.includes(at);
    draft.points = ticked ? draft.points.filter((other) => other !== at) : [...draft.points, at].sort((a, b) => a - b);
    changed();
  }

  function flipReason(name) {
    const given = draft.reasons.includes(name);
    draft.reasons = given ? draft.reasons.filter((other) => other !== name) : [...draft.reasons, name];
    changed();
  }

  function typeDigit(digit) {
    const most = cards[place].marks;
    const now = performance.now();
    const joined = typed.value + digit;
    const both = now - typed.at < 1200 && typed.value !== "0" && Number(joined) <= most && joined.length > 1;
    const value = both ? Number(joined) : Number(digit);
    typed = { value: both ? joined : digit, at: now };
    if (value <= most) setMarks(value);
    else say(`At most ${count(most, "mark")} here.`, true);
  }

  function step(by) {
    const marks = Math.min(Math.max((draft.marks === null ? (by > 0 ? -1 : 1) : draft.marks) + by, 0), cards[place].marks);
    setMarks(marks);
  }

  function go(at) {
    commit();
    show(at);
    window.scrollTo(0, 0);
    byId("question").focus({ preventScroll: true });
  }

  function next(skip) {
    if (!skip && !complete(draft)) {
      say(marking ? "Give marks first, or press \u2192 to leave it for later." : "Choose first, or press \u2192 to leave it for later.", true);
      return;
    }
    if (place + 1 < cards.length) {
      go(place + 1);
      return;
    }
    commit();
    if (!nextUnmarked()) finish();
  }

  function nextUnmarked() {
    const order = [...cards.keys()].map((at) => (place + 1 + at) % cards.length);
    const at = order.find((number) => !isMarked(cards[number]));
    if (at === undefined) return false;
    go(at);
    return true;
  }

  function finish() {
    showProgress();
    byId("done-text").textContent = data.server
      ? `All ${cards.length} are marked and saved on this computer. You can close this page.`
      : `All ${cards.length} are marked. Save them as a file, and send that file to whoever gave you this page.`;
    byId("done-save").hidden = data.server;
    byId("done").showModal();
  }

  // ----- keys

  function markKey(name) {
    if (/^\d$/.test(name)) typeDigit(name);
    else if (name === "+" || name === "=") step(1);
    else if (name === "-" || name === "\u2212") step(-1);
    else if (name === "w") flip("wrong");
    else if (name === "x") flip("scripture");
    else if (name === "o") byId("criteria").open = !byId("criteria").open;
    else if (letters.includes(name) && letters.indexOf(name) < cards[place].points.length) flipPoint(letters.indexOf(name));
    else return false;
    return true;
  }

  function preferKey(name) {
    if (choiceKeys[name]) setChoice(choiceKeys[name]);
    else if (reasonKeys.includes(name)) {
      const reason = Object.keys(criteria)[reasonKeys.indexOf(name)];
      if (!byId(`reason-${reason}`)) return false;
      flipReason(reason);
    } else return false;
    return true;
  }

  function letterKey(name) {
    if (name === "?") byId("help").showModal();
    else if (name === "s") save();
    else if (name === "n") byId("comment").focus();
    else if (name === "u") { if (!nextUnmarked()) say("Nothing is left unmarked."); }
    else return marking ? markKey(name) : preferKey(name);
    return true;
  }

  function onKey(event) {
    const target = event.target;
    const writing = target.tagName === "TEXTAREA";
    if (document.querySelector("dialog[open]")) return;
    if (writing) {
      if (event.key === "Escape") byId("question").focus({ preventScroll: true });
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) next(false);
      else return;
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const radio = target.type === "radio";
    const native = ["BUTTON", "SUMMARY", "A"].includes(target.tagName) || target.type === "file";
    let used = true;
    if (event.key === "Enter" && !native) next(false);
    else if (event.key === "ArrowRight" && !radio) next(true);
    else if (event.key === "ArrowLeft" && !radio) { if (place > 0) go(place - 1); }
    else if (event.key.length === 1 && event.key !== " " && byId("shortcuts").checked) used = letterKey(event.key.toLowerCase());
    else used = false;
    if (used) event.preventDefault();
  }

  // ----- beginning

  function texts() {
    const keys = marking
      ? [["0\u20139", "give marks; type 1 and 2 for 12"], ["+ \u2212", "one mark more or less"], ["a\u2013l", "tick a point"],
          ["w x", "factually wrong; wrong scripture"], ["o", "open the six criteria"]]
      : [["1 2", "answer A or B is better"], ["3 4", "equal; both poor"], ["5\u20130", "say why"]];
    keys.push(["n", "write a comment; Esc leaves it"], ["Enter", "next"], ["\u2190 \u2192", "go back; leave for later"],
      ["u", "next without marks"], ["s", data.server ? "save a copy as a file" : "save marks as a file"], ["?", "this help"]);
    byId("help-text").replaceChildren(
      make("dl", {}, ...keys.flatMap(([names, text]) => [make("dt", {}, make("kbd", { text: names })), make("dd", { text })])),
      make("p", { text: "Tab and the arrow keys reach everything too. Marks can be changed at any time: go back and give them anew." }),
      make("p", { text: "Later you can open this page again in the same browser, or load a file that you saved." }));
    const where = data.server
      ? "Marks are saved on this computer as you go. You can close the page and come back to the same address while the server runs."
      : "Nothing is sent anywhere. Marks are kept in this browser, also when you close it. At the end press Save marks, and send that file to whoever gave you this page.";
    const task = marking
      ? `You will see ${count(cards.length, "answer")} to exam questions, one at a time. Give each the marks that you would give a pupil.`
      : `You will see ${count(cards.length, "question")} with two answers each. Say which you would give more marks, or that neither is better.`;
    byId("welcome-text").replaceChildren(
      make("p", { text: task }),
      make("p", { text: "Who or what wrote an answer is hidden, and length alone earns nothing. Some may come twice: judge them afresh." }),
      make("p", { text: where }),
      make("p", {}, "Everything works with the keyboard; press ", make("kbd", { text: "?" }), " for help."));
  }

  function listen() {
    document.addEventListener("keydown", onKey);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) {
        spent += performance.now() - since;
        commit();
      }
      since = performance.now();
    });
    window.addEventListener("resize", settle);
    window.addEventListener("pagehide", commit);
    window.addEventListener("storage", follow);
    window.addEventListener("beforeunload", (event) => {
      const unsaved = data.server
        ? entries.some((entry) => !acknowledged.has(entry.id))
        : downloaded < entries.length;
      if (!keeps && unsaved) event.preventDefault();
    });
    byId("previous").addEventListener("click", () => go(place - 1));
    byId("next").addEventListener("click", () => next(false));
    byId("unmarked").addEventListener("click", () => { if (!nextUnmarked()) say("Nothing is left unmarked."); });
    byId("save-button").addEventListener("click", save);
    byId("done-save").addEventListener("click", () => { byId("done").close(); save(); });
    byId("help-button").addEventListener("click", () => byId("help").showModal());
    byId("load").addEventListener("change", load);
    for (const button of document.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => {
        button.closest("dialog").close();
        byId("question").focus({ preventScroll: true });
      });
    }
  }

  recall();
  document.body.classList.add(data.mode);
  byId("marker").textContent = `for ${data.marker}`;
  byId("progress").max = cards.length;
  byId("places").replaceChildren(...cards.map((card, at) =>
    make("li", {}, make("button", { type: "button", text: at + 1, onclick: () => go(at) }))));
  if (data.server) byId("save-button").firstChild.textContent = "Save a copy ";
  texts();
  listen();
  show(place);
  if (!keeps) say("This browser keeps nothing: save your marks before you close the page.", true);
  else if (data.server) send();
  if (!entries.length && !Object.keys(drafts).length) byId("welcome").showModal();
})();
