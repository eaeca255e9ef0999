/** Conversations in this browser's storage, and nowhere else. Bounded: the oldest go first. */
import type { Conversation } from "./conversation.ts";

const MOST_CONVERSATIONS = 50;
const MOST_CHARACTERS = 2_000_000;

export interface TextStorage {
  getItem(key: string): string | null;
  setItem(key: string, text: string): void;
  removeItem(key: string): void;
}

export class History {
  readonly #storage: TextStorage | undefined;
  readonly #key: string;

  /** Without a storage, conversations last as long as the page. `key` tells programs of one host apart. */
  constructor(storage: TextStorage | undefined, key: string) {
    this.#storage = storage;
    this.#key = key;
  }

  /** Latest first. What cannot be read is as if it were not there. */
  load(): readonly Conversation[] {
    try {
      const found: unknown = JSON.parse(this.#storage?.getItem(this.#key) ?? "[]");
      return Array.isArray(found) ? found.filter(isConversation) : [];
    } catch {
      return [];
    }
  }

  /** Returns what was kept. */
  save(conversations: readonly Conversation[]): readonly Conversation[] {
    let kept = conversations
      .filter(({ turns }) => turns.length > 0)
      .toSorted((a, b) => b.changedAt - a.changedAt)
      .slice(0, MOST_CONVERSATIONS);
    for (;;) {
      const text = JSON.stringify(kept);
      try {
        if (text.length <= MOST_CHARACTERS || kept.length <= 1) {
          this.#storage?.setItem(this.#key, text);
          return kept;
        }
      } catch {
        // The browser's own limit is lower.
        if (kept.length <= 1) return kept;
      }
      kept = kept.slice(0, -1);
    }
  }

  clear(): void {
    this.#storage?.removeItem(this.#key);
  }
}

function isConversation(value: unknown): value is Conversation {
  const { id, changedAt, turns } = (value ?? {}) as Partial<Record<keyof Conversation, unknown>>;
  return (
    typeof id === "string" &&
    typeof changedAt === "number" &&
    Array.isArray(turns) &&
    turns.every((turn: unknown) => typeof (turn as { text?: unknown } | null)?.text === "string")
  );
}

/** A browser may forbid even to look at its storage. */
export function localStorageOrNone(): TextStorage | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}
