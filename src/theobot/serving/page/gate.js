// The class code or the token that a server may want before it answers anybody.
import { about, openWith, tab } from "./api.js";
import { byId } from "./dom.js";

const KINDS = {
  class_code_needed: {
    key: "class-code",
    title: "Class code",
    text: "Your teacher has a code for this class. It is kept until this tab is closed.",
    wrong: "This class code was not accepted. Check it with your teacher.",
  },
  token_needed: {
    key: "token",
    title: "Access token",
    text: "The person who started this server has a token for it. It is kept until this tab is closed.",
    wrong: "This token was not accepted. Check it with the person who started the server.",
  },
};

const SENDABLE = /^[\x21-\x7e]+$/;

/** Ask for what a refusal names; `opened` gets what the server says about itself afterwards. */
export class Gate {
  constructor(opened) {
    this.opened = opened;
    this.form = byId("gate");
    this.input = byId("gate-input");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.knock();
    });
  }

  /** Whether a refusal is one that this form can help with; if so, it is shown. */
  show(refusal) {
    const kind = refusal.status === 401 ? (KINDS[refusal.code] ?? KINDS.token_needed) : null;
    if (kind === null) return false;
    const tried = this.kind === kind || tab.get(kind.key) !== null;
    this.kind = kind;
    byId("gate-title").textContent = kind.title;
    byId("gate-text").textContent = kind.text;
    byId("gate-label").textContent = kind.title;
    this.input.type = kind.key === "token" ? "password" : "text";
    this.form.hidden = false;
    this.complain(tried ? kind.wrong : "");
    this.input.focus();
    this.input.select();
    return true;
  }

  complain(words) {
    byId("gate-problem").textContent = words;
    this.input.setAttribute("aria-invalid", String(words !== ""));
  }

  async knock() {
    const value = this.input.value.trim();
    if (!SENDABLE.test(value)) {
      this.complain("Letters, digits and signs without spaces are expected.");
      this.input.focus();
      return;
    }
    openWith(this.kind.key, value);
    try {
      const told = await about();
      this.form.hidden = true;
      this.input.value = "";
      this.kind = null;
      this.opened(told);
    } catch (refusal) {
      if (!this.show(refusal)) this.complain(refusal.message);
    }
  }
}
