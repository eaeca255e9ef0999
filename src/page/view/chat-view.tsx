import { useEffect, useRef, useState } from "preact/hooks";

import { apiKey, askJson, RequestError } from "../api.ts";
import type { Chat } from "../chat/chat.ts";
import { toChatBody } from "../chat/stream.ts";
import { splitThinking } from "../chat/conversation.ts";
import { Composer } from "./composer.tsx";
import { KeyForm } from "./key-form.tsx";
import { percent } from "./status-line.tsx";
import { Answer, UserTurn } from "./turn.tsx";
import type { ServerState } from "./use-server.ts";

interface ChatViewProps {
  readonly chat: Chat;
  readonly state: ServerState;
}

const COUNT_AFTER_MS = 700;
/** Closer to the end than this, the reader wants to follow. */
const FOLLOW_PIXELS = 160;

export function ChatView({ chat, state }: ChatViewProps) {
  const about = state.kind === "ready" ? state.about : undefined;
  const [draft, setDraft] = useState("");
  const [hasKey, setHasKey] = useState(apiKey.read() !== "");
  const { turns } = chat.current;
  const last = turns.at(-1);
  const needsKey = about?.requires_key === true && (!hasKey || isKeyRefused(last?.error));
  const used = useTokenCount(chat, draft, about?.status === "ready" && !needsKey);
  useFollowing(turns);

  function submit(): void {
    if (draft.trim() === "") return;
    chat.ask(draft);
    setDraft("");
  }

  return (
    <>
      <section class="conversation" aria-label="Conversation">
        {turns.length === 0 && <Welcome state={state} />}
        {turns.map((turn, at) =>
          turn.role === "assistant" ? (
            <Answer
              key={at}
              turn={turn}
              isGrowing={chat.isAnswering && at === turns.length - 1}
              openCalls={at === turns.findLastIndex(({ role }) => role === "assistant") ? chat.openCalls() : []}
              onRetry={chat.isAnswering ? undefined : () => chat.retry(at)}
              onResult={(callId, text) => chat.giveResult(callId, text)}
            />
          ) : (
            <UserTurn key={at} turn={turn} isBusy={chat.isAnswering} onEdit={(text) => chat.edit(at, text)} />
          ),
        )}
      </section>
      <p class="hidden" role="status" aria-live="polite">
        {announcement(chat)}
      </p>
      <div class="dock">
        {needsKey && <KeyForm onDone={() => setHasKey(apiKey.read() !== "")} />}
        <Composer
          draft={draft}
          isReady={about?.status === "ready" && !needsKey}
          isAnswering={chat.isAnswering}
          used={used}
          contextLength={about?.model?.context_length}
          onDraft={setDraft}
          onAsk={submit}
          onStop={() => chat.stop()}
        />
      </div>
    </>
  );
}

function isKeyRefused(error: string | undefined): boolean {
  return error !== undefined && /API key/.test(error);
}

function Welcome({ state }: { state: ServerState }) {
  switch (state.kind) {
    case "ready":
      return (
        <div class="welcome">
          <h2>{state.about.model?.id}</h2>
          <p>Ask it something. What you write goes to this server, and is kept in this browser only.</p>
        </div>
      );
    case "loading":
      // A gigabyte takes a while, and on a cold machine there is more to be done before it.
      return (
        <div class="welcome">
          <h2>{state.progress === undefined ? "Starting" : percent(state.progress)}</h2>
          <p>
            {state.words}
            {state.progress === undefined || state.words.includes("%") ? "…" : `: ${percent(state.progress)}`}
          </p>
          <progress
            aria-label="Loading the model"
            {...(state.progress === undefined ? {} : { value: state.progress })}
            max={1}
          />
        </div>
      );
    case "failed":
      return (
        <div class="welcome">
          <h2>Not working</h2>
          <p class="error" role="alert">
            {state.words}
          </p>
        </div>
      );
    default:
      return (
        <div class="welcome">
          <h2>…</h2>
          <p />
        </div>
      );
  }
}

/** Whole answers, once: a reader of each piece would never come to an end. */
function announcement(chat: Chat): string {
  const last = chat.current.turns.at(-1);
  if (last?.role !== "assistant") return "";
  if (chat.isAnswering) return "Answering";
  return `Answer: ${splitThinking(last).text}`;
}

/** Tokens of the conversation with the draft, as the server counts them. */
function useTokenCount(chat: Chat, draft: string, isReady: boolean): number | undefined {
  const [count, setCount] = useState<number>();
  const { turns } = chat.current;
  const { systemPrompt, tools } = chat.settings;
  const stats = turns.at(-1)?.stats;
  useEffect(() => {
    if (!isReady || chat.isAnswering) return undefined;
    if (draft.trim() === "" && stats !== undefined) {
      setCount(stats.promptTokens + stats.completionTokens);
      return undefined;
    }
    const asked = draft.trim() === "" ? turns : [...turns, { role: "user", text: draft } as const];
    if (asked.length === 0) {
      setCount(undefined);
      return undefined;
    }
    const late = new AbortController();
    const timer = setTimeout(() => void look(), COUNT_AFTER_MS);
    async function look(): Promise<void> {
      try {
        const body = toChatBody({ ...chat.question(asked), sampling: {} });
        const path = "v1/chat/completions/input_tokens";
        const answer = await askJson<{ input_tokens: number }>(path, { body, signal: late.signal });
        setCount(answer.input_tokens);
      } catch (error) {
        // The number is only a help: without it the request itself will tell what is wrong.
        if (!late.signal.aborted && !(error instanceof RequestError)) throw error;
      }
    }
    return () => {
      clearTimeout(timer);
      late.abort();
    };
  }, [draft, turns, stats, isReady, chat.isAnswering, systemPrompt, tools]);
  return count;
}

/** The end of the page stays in view while an answer grows, unless the reader has scrolled away. */
function useFollowing(turns: readonly unknown[]): void {
  const isFollowing = useRef(true);
  useEffect(() => {
    const onScroll = (): void => {
      const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
      isFollowing.current = scrollHeight - clientHeight - scrollTop < FOLLOW_PIXELS;
    };
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, []);
  useEffect(() => {
    if (isFollowing.current && turns.length > 0) scrollTo({ top: document.documentElement.scrollHeight });
  }, [turns]);
}
