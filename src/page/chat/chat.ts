/** The state of the chat and everything that changes it. The view draws it after each change. */
import { RequestError } from "../api.ts";
import { withPiece, type Piece, type Question } from "./answer.ts";
import { newConversation, type Conversation, type Turn } from "./conversation.ts";
import type { History } from "./history.ts";
import { parseTools, toSampling, type Settings } from "./settings.ts";

export type Answerer = (question: Question, signal: AbortSignal) => AsyncGenerator<Piece>;

export class Chat {
  conversations: readonly Conversation[];
  current: Conversation = newConversation();
  settings: Settings;
  readonly #history: History;
  readonly #answerer: Answerer;
  readonly #changed: () => void;
  #answering: AbortController | undefined;

  constructor(history: History, answerer: Answerer, settings: Settings, changed: () => void) {
    this.#history = history;
    this.settings = settings;
    this.#answerer = answerer;
    this.#changed = changed;
    this.conversations = history.load();
  }

  get isAnswering(): boolean {
    return this.#answering !== undefined;
  }

  changeSettings(settings: Settings): void {
    this.settings = settings;
    this.#changed();
  }

  ask(text: string): void {
    if (this.isAnswering || text.trim() === "") return;
    this.#setTurns([...this.current.turns, { role: "user", text }]);
    void this.#answer();
  }

  /** The result of a call; when the last one is there, the model goes on. */
  giveResult(callId: string, text: string): void {
    if (this.isAnswering) return;
    this.#setTurns([...this.current.turns, { role: "tool", text, callId }]);
    if (this.openCalls().length === 0) void this.#answer();
  }

  /** Calls of the last answer that have no result yet. */
  openCalls(): readonly string[] {
    const at = this.current.turns.findLastIndex(({ role }) => role === "assistant");
    const results = new Set(this.current.turns.slice(at + 1).map(({ callId }) => callId));
    return (this.current.turns[at]?.calls ?? []).map(({ id }) => id).filter((id) => !results.has(id));
  }

  /** Another answer in place of this one and of all that followed. */
  retry(at: number): void {
    if (this.isAnswering) return;
    this.#setTurns(this.current.turns.slice(0, at));
    void this.#answer();
  }

  /** Another question in place of this one and of all that followed. */
  edit(at: number, text: string): void {
    if (this.isAnswering || text.trim() === "") return;
    this.#setTurns(this.current.turns.slice(0, at));
    this.ask(text);
  }

  stop(): void {
    this.#answering?.abort();
  }

  startNew(): void {
    this.stop();
    this.current = newConversation();
    this.#changed();
  }

  open(id: string): void {
    const found = this.conversations.find((conversation) => conversation.id === id);
    if (found === undefined) return;
    this.stop();
    this.current = found;
    this.#changed();
  }

  remove(id: string): void {
    this.conversations = this.#history.save(this.conversations.filter((conversation) => conversation.id !== id));
    if (this.current.id === id) this.startNew();
    this.#changed();
  }

  removeAll(): void {
    this.#history.clear();
    this.conversations = [];
    this.startNew();
  }

  async #answer(): Promise<void> {
    const answering = new AbortController();
    const { id, turns } = this.current;
    let turn: Turn = { role: "assistant", text: "" };
    const show = (isLast: boolean): void => {
      if (this.current.id === id) this.#setTurns([...turns, turn], isLast);
    };
    this.#answering = answering;
    show(false);
    try {
      for await (const piece of this.#answerer(this.question(turns), answering.signal)) {
        turn = withPiece(turn, piece);
        show(false);
      }
    } catch (error) {
      if (answering.signal.aborted) turn = { ...turn, ending: "stopped" };
      else turn = { ...turn, ending: "failed", error: describe(error) };
    }
    this.#answering = undefined;
    show(true);
    this.#changed();
  }

  question(turns: readonly Turn[]): Question {
    return {
      turns,
      systemPrompt: this.settings.systemPrompt,
      sampling: toSampling(this.settings),
      tools: parseTools(this.settings.tools).value,
    };
  }

  /** Half answers are not stored: each piece would write the whole history. */
  #setTurns(turns: readonly Turn[], store = true): void {
    this.current = { ...this.current, turns, changedAt: Date.now() };
    if (store) {
      const others = this.conversations.filter(({ id }) => id !== this.current.id);
      this.conversations = this.#history.save([this.current, ...others]);
    }
    this.#changed();
  }
}

function describe(error: unknown): string {
  if (error instanceof RequestError) return error.message;
  return error instanceof Error ? `The page failed: ${error.message}` : String(error);
}
