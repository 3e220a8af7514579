// A conversation: what was asked, who answers, and what they are sent. It lives in this page only.
import { Refusal, chat, citations } from "./api.js";
import { TurnView } from "./view.js";

const REMARKS = {
  length: "The answer is cut off here. Ask “Go on.” for the rest.",
  content_filter: "From here on the answer was withheld.",
  stopped: "You stopped this answer.",
};
const WITHHELD = "The answer was withheld.";
const LATER = "Start a new conversation, or ask something shorter.";

function remarkOf({ ending, text }) {
  return ending === "content_filter" && text === "" ? WITHHELD : REMARKS[ending];
}

/** One sentence for the status line when all answers to a question have ended. */
function tell(ends) {
  if (ends.length > 1 && ends.every(({ verb }) => verb === "has answered")) {
    return ["Both have answered.", ...ends.map(({ name, said }) => `${name}: ${said}`)].join(" ");
  }
  const sentences = ends.map(({ name, verb, said }) => (verb === "" ? said : `${name} ${verb}. ${said}`));
  return [...new Set(sentences)].join(" ");
}

export class Talk {
  /**
   * Args:
   *   log: the element that holds the turns.
   *   names: names of the models by id.
   *   on: what the page does: began(turn), grew(turn), ended(sentence), said(sentence),
   *     locked(refusal), and full(turn) for a full answer after hints.
   */
  constructor(log, names, on) {
    this.log = log;
    this.names = names;
    this.on = on;
    this.turns = [];
    this.running = new Set();
  }

  get busy() {
    return this.running.size > 0;
  }

  stop() {
    for (const controller of this.running) controller.abort();
  }

  clear() {
    this.stop();
    this.turns = [];
    this.log.replaceChildren();
  }

  /** Ask one question of some models; `options` are {scripture, hints}. */
  async ask(question, arms, options) {
    const view = new TurnView(question, arms, this.names, options.hints);
    const turn = { question, options, view, answers: new Map() };
    this.turns.push(turn);
    this.log.append(view.element);
    await this.run(turn, arms);
  }

  async run(turn, arms) {
    const controller = new AbortController();
    this.running.add(controller);
    this.log.setAttribute("aria-busy", "true");
    this.on.began(turn);
    let ends = [];
    try {
      ends = await Promise.all(arms.map((arm) => this.answer(turn, arm, controller.signal)));
    } finally {
      this.running.delete(controller);
      this.log.setAttribute("aria-busy", String(this.busy));
      if (this.turns.includes(turn)) this.on.ended(tell(ends));
    }
  }

  /** What a model is sent: its own earlier answers, those withheld or failed left out. */
  messages(turn, arm) {
    const before = this.turns.slice(0, this.turns.indexOf(turn));
    const seen = before.filter((one) => one.answers.get(arm)?.counts);
    const sent = seen.flatMap((one) => [
      { role: "user", content: one.question },
      { role: "assistant", content: one.answers.get(arm).text },
    ]);
    return { missed: before.length - seen.length, sent: [...sent, { role: "user", content: turn.question }] };
  }

  /** One model's answer from the first word to the checks; gives what the status line tells of it. */
  async answer(turn, arm, signal) {
    const view = turn.view.answers.get(arm);
    const answer = { text: "", ending: null, tokens: null, counts: false };
    const { missed, sent } = this.messages(turn, arm);
    turn.answers.set(arm, answer);
    view.begin();
    if (missed > 0) view.remark(`${view.name} has not seen every earlier question of this conversation.`);
    try {
      await this.receive(turn, arm, sent, signal);
    } catch (error) {
      if (error instanceof Refusal) return this.failed(turn, arm, error);
      if (error.name !== "AbortError") throw error;
      answer.ending = "stopped";
    }
    view.write(answer.text);
    view.end();
    answer.counts = answer.text.trim() !== "" && answer.ending !== "content_filter";
    if (answer.tokens === 0 && answer.text !== "") {
      turn.view.fixed(arm, answer.text);
      return { name: view.name, verb: "", said: "Please read what stands in place of an answer." };
    }
    const remark = remarkOf(answer);
    if (remark) view.remark(remark);
    if (answer.text.trim() === "") return this.wordless(turn, arm);
    const said = `${await this.checked(view, answer)}.`;
    this.offer(turn, view, answer);
    return { name: view.name, verb: answer.ending === "stopped" ? "was stopped" : "has answered", said };
  }

  async receive(turn, arm, messages, signal) {
    const answer = turn.answers.get(arm);
    const view = turn.view.answers.get(arm);
    const body = {
      model: arm,
      messages,
      stream_options: { include_usage: true },
      theobot: { scripture: turn.options.scripture, hints_first: turn.options.hints },
    };
    let drawing = false;
    const draw = () => {
      drawing = false;
      if (!view.element.classList.contains("writing")) return;
      view.write(answer.text);
      this.on.grew(turn);
    };
    for await (const chunk of chat(body, signal)) {
      if (chunk.theobot) this.beside(turn, chunk.theobot);
      if (chunk.usage) answer.tokens = chunk.usage.total_tokens;
      const choice = chunk.choices[0];
      answer.text += choice?.delta?.content ?? "";
      answer.ending = choice?.finish_reason ?? answer.ending;
      if (!drawing) requestAnimationFrame(draw);
      drawing = true;
    }
  }

  beside(turn, extension) {
    turn.view.given(extension.scripture_given);
    if (extension.notice) turn.view.notice(extension.notice);
  }

  async checked(view, answer) {
    try {
      return view.check(answer.text, await citations(answer.text));
    } catch {
      const again = async (event) => {
        event.target.closest(".problem").remove();
        this.on.said(`${await this.checked(view, answer)}.`);
      };
      view.fail("The references of this answer could not be checked.", again);
      return "Its references could not be checked";
    }
  }

  offer(turn, view, answer) {
    view.copyable(answer.text, this.on.said);
    if (turn.options.hints) view.action("Ask for the full answer", "more", () => this.on.full(turn));
  }

  again(turn, arm) {
    return () => {
      if (!this.busy) this.run(turn, [arm]);
    };
  }

  wordless(turn, arm) {
    const view = turn.view.answers.get(arm);
    const { ending } = turn.answers.get(arm);
    const end = { name: view.name, verb: "gives no answer", said: "" };
    if (ending === "content_filter") return end;
    if (ending === "stopped") {
      view.action("Ask again", "more", this.again(turn, arm));
      return { ...end, verb: "was stopped" };
    }
    view.fail("No words came.", this.again(turn, arm));
    return { ...end, said: "No words came." };
  }

  failed(turn, arm, error) {
    const view = turn.view.answers.get(arm);
    const { text } = turn.answers.get(arm);
    view.write(text);
    view.end();
    const reason = error.code === "context_length_exceeded" ? `${error.message} ${LATER}` : error.message;
    const message = text === "" ? reason : `The answer broke off. ${reason}`;
    view.fail(message, this.again(turn, arm), error.wait);
    if (error.status === 401) this.on.locked(error);
    return { name: view.name, verb: "gives no answer", said: message };
  }
}
