"use strict";
// Opens questions, searches, filters and sorts. Every text is set as text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);

  function el(tag, kind, ...children) {
    const node = document.createElement(tag);
    if (kind) node.className = kind;
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  // --- One question ---------------------------------------------------------------------------

  const STATUS = {
    exists: ["", "✓ exists"],
    missing: ["missing", "✕ does not exist"],
    omitted: ["unsure", "! left out of many editions"],
    too_broad: ["unsure", "! names no verse"],
    unverifiable: ["unsure", "? cannot be checked"],
    matches: ["", "✓ quoted rightly"],
    differs: ["unsure", "! quotation differs"],
    cannot_tell: ["unsure", "? quotation cannot be checked"],
  };

  // Places of the words that earned marks and of citations; where they overlap the first wins.
  function ranges(text, found, citations) {
    const places = [];
    const lower = text.toLowerCase();
    for (const words of found) {
      const at = words ? lower.indexOf(words.toLowerCase()) : -1;
      if (at >= 0) places.push([at, at + words.length, "mark", ""]);
    }
    let from = 0;
    for (const [words, status] of citations) {
      let at = text.indexOf(words, from);
      if (at < 0) at = text.indexOf(words);
      if (at < 0 || !words) continue;
      from = at + words.length;
      places.push([at, from, "span", "cited " + (STATUS[status] || ["unsure"])[0]]);
    }
    return places.sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  }

  function words(text, found, citations) {
    const node = el("p", "words");
    node.dir = "auto";
    let at = 0;
    for (const [start, end, tag, kind] of ranges(text, found, citations)) {
      if (start < at) continue;
      node.append(text.slice(at, start), el(tag, kind, text.slice(start, end)));
      at = end;
    }
    node.append(text.slice(at));
    return node;
  }

  function answer(row, arm, name) {
    const text = (row.texts || [])[arm] || "";
    const score = (row.scores || [])[arm];
    const found = (row.points || []).map((point) => point[2 + arm]);
    const citations = (row.citations || [])[arm] || [];
    const earned = score ? `${score.got} of ${score.of} · ${score.words} words` : "no score";
    const box = el("div", "answer", el("h4", "", name, el("span", "", earned)));
    box.append(text ? words(text, found, citations) : el("p", "note", "(no text)"));
    if (score && score.note) box.append(el("p", "note", score.note));
    if (citations.length) {
      const list = el("ul", "list");
      for (const [place, status, reason] of citations) {
        const [kind, says] = STATUS[status] || ["unsure", status];
        const line = `${place}: ${says}${reason ? " (" + reason + ")" : ""}`;
        list.append(el("li", kind === "missing" ? "missing-words" : "", line));
      }
      box.append(list);
    }
    return box;
  }

  function scheme(row, arms) {
    const head = el("tr", "", ...["Mark scheme", "Marks", ...arms].map((name) => {
      const cell = el("th", "", name);
      cell.scope = "col";
      return cell;
    }));
    const body = el("tbody");
    for (const [text, marks, base, theobot] of row.points) {
      const first = el("th", "", text);
      first.scope = "row";
      const hits = [base, theobot].map((hit) =>
        el("td", hit === null ? "worse" : "better", hit === null ? "✕ missed" : "✓ found"));
      body.append(el("tr", "", first, el("td", "", String(marks)), ...hits));
    }
    return el("table", "", el("thead", "", head), body);
  }

  function question(row, arms) {
    const facts = [row.id, row.setName, row.theme, row.qtype];
    if (row.marks) facts.push(row.marks === 1 ? "1 mark" : `${row.marks} marks`);
    if (row.seen === true) facts.push("verse seen in training");
    if (row.seen === false) facts.push("verse not seen in training");
    const body = el("div", "body", el("p", "note", facts.filter(Boolean).join(" · ")));
    if (row.flags) body.append(el("p", "note", "Look: " + row.flags.join(", ") + "."));
    body.append(el("div", "sides", answer(row, 0, arms[0]), answer(row, 1, arms[1])));
    if (row.points) body.append(el("h4", "", "What the marks are for"), scheme(row, arms));
    if (row.reference) body.append(el("h4", "", "A model answer"), words(row.reference, [], []));
    if (row.comments) {
      const list = el("ul", "list");
      const names = { base: arms[0], theobot: arms[1] };
      for (const { arm, text } of row.comments) {
        list.append(el("li", "", (names[arm] ? names[arm] + ": " : "") + text));
      }
      body.append(el("h4", "", "What markers wrote"), list);
    }
    return body;
  }

  function examples(rows, arms) {
    for (const details of document.querySelectorAll("details.question")) {
      details.addEventListener("toggle", () => {
        if (details.open && details.childElementCount === 1) {
          details.append(question(rows[Number(details.dataset.n)], arms));
        }
      });
    }
  }

  // --- All questions ----------------------------------------------------------------------------

  const FIELDS = ["q", "set", "theme", "marks", "show", "sort"];
  const SHOWS = {
    different: (row) => Boolean(row.different),
    flips: (row) => Boolean(row.flip),
    better: (row) => row.d > 0,
    worse: (row) => row.d < 0,
    flagged: (row) => Boolean(row.flags),
  };

  function table(rows, arms) {
    const body = byId("table").tBodies[0];
    const lines = [...body.rows];
    const inputs = FIELDS.map(byId).filter(Boolean);
    const texts = rows.map((row) =>
      [row.id, row.question, row.reference, ...(row.texts || [])].join("\n").toLowerCase());
    const open = new Map();

    function toggle(place, wanted) {
      const button = lines[place].querySelector("button");
      if (open.has(place) === wanted) return;
      button.setAttribute("aria-expanded", String(wanted));
      if (wanted) {
        const cell = el("td", "", question(rows[place], arms));
        cell.colSpan = lines[place].cells.length;
        const detail = el("tr", "detail", cell);
        open.set(place, detail);
        lines[place].after(detail);
      } else {
        open.get(place).remove();
        open.delete(place);
      }
    }

    lines.forEach((line, place) => {
      const text = line.querySelector(".text");
      const button = el("button", "opener", text.textContent);
      button.type = "button";
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => {
        toggle(place, !open.has(place));
        remember();
      });
      text.replaceChildren(button);
    });

    const value = (id) => (byId(id) ? byId(id).value : "");

    function fits(row, place, terms) {
      return (!value("set") || row.set === value("set")) &&
        (!value("theme") || row.themeKey === value("theme")) &&
        (!value("marks") || String(row.marks || "") === value("marks")) &&
        (!value("show") || SHOWS[value("show")](row)) &&
        terms.every((term) => texts[place].includes(term));
    }

    function show() {
      const terms = value("q").toLowerCase().split(/\s+/).filter(Boolean);
      const order = rows.map((_, place) => place);
      const sign = { loss: 1, gain: -1 }[value("sort")];
      const key = (place) => (rows[place].d === undefined ? Infinity : sign * rows[place].d);
      if (sign) order.sort((a, b) => (key(a) === key(b) ? a - b : key(a) < key(b) ? -1 : 1));
      let shown = 0;
      for (const place of order) {
        const visible = fits(rows[place], place, terms);
        shown += Number(visible);
        lines[place].hidden = !visible;
        body.append(lines[place]);
        if (open.has(place)) {
          open.get(place).hidden = !visible;
          body.append(open.get(place));
        }
      }
      const head = document.querySelector('th[data-key="difference"]');
      head.setAttribute("aria-sort", { loss: "ascending", gain: "descending" }[value("sort")] || "none");
      byId("found").textContent = `${shown} of ${rows.length} questions`;
    }

    function remember() {
      const state = new URLSearchParams();
      for (const input of inputs) if (input.value) state.set(input.id, input.value);
      for (const place of open.keys()) state.append("open", rows[place].id);
      try {
        history.replaceState(null, "", "#" + state);
      } catch {
        // Some browsers keep a file's address as it is; the filters work all the same.
      }
    }

    function recall() {
      const hash = location.hash.slice(1);
      if (hash && !hash.includes("=")) return;
      const state = new URLSearchParams(hash);
      for (const input of inputs) {
        input.value = state.get(input.id) || "";
        if (input.selectedIndex === -1) input.value = "";
      }
      const wanted = new Set(state.getAll("open"));
      rows.forEach((row, place) => toggle(place, wanted.has(row.id)));
      show();
      if (hash) byId("questions").scrollIntoView();
    }

    let waiting = 0;
    function changed() {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        show();
        remember();
      }, 120);
    }

    const head = document.querySelector('th[data-key="difference"]');
    const sorter = el("button", "", head.textContent);
    sorter.type = "button";
    sorter.addEventListener("click", () => {
      byId("sort").value = { "": "loss", loss: "gain", gain: "" }[value("sort")];
      changed();
    });
    head.replaceChildren(sorter);
    byId("filters").addEventListener("input", changed);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", changed);
    addEventListener("hashchange", recall);
    byId("filters").hidden = false;
    recall();
    if (location.hash && !location.hash.includes("=")) show();
  }

  async function start() {
    const data = JSON.parse(byId("data").textContent);
    if (data.packed && typeof DecompressionStream === "undefined") {
      byId("questions").prepend(el("p", "problem",
        "This browser is too old to unpack the answers. They also stand in side_by_side.md."));
      return;
    }
    const rows = data.packed ? await unpack(data.packed) : data.rows;
    examples(rows, data.arms);
    table(rows, data.arms);
    document.documentElement.dataset.ready = "yes";
  }

  start();
})();
