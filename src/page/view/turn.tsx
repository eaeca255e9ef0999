import { useState } from "preact/hooks";

import { splitThinking, type ToolCall, type Turn } from "../chat/conversation.ts";
import { CodeBlock } from "./code-block.tsx";
import { CopyButton } from "./copy-button.tsx";
import { Markdown } from "./markdown.tsx";
import { TextField } from "./text-field.tsx";

interface AnswerProps {
  readonly turn: Turn;
  readonly isGrowing: boolean;
  readonly openCalls: readonly string[];
  readonly onRetry: (() => void) | undefined;
  readonly onResult: (callId: string, text: string) => void;
}

export function Answer({ turn, isGrowing, openCalls, onRetry, onResult }: AnswerProps) {
  const { thinking, text, isThinking } = splitThinking(turn);
  return (
    <article class="turn answer" aria-label="Answer" aria-busy={isGrowing}>
      {thinking !== "" && (
        <details class="thinking">
          <summary>{isGrowing && isThinking ? "Thinking…" : "Thinking"}</summary>
          <div class="plain-text">{thinking}</div>
        </details>
      )}
      {text !== "" && <Markdown text={text} isGrowing={isGrowing} />}
      {turn.calls?.map((call) => (
        <Call key={call.id} call={call} isOpen={!isGrowing && openCalls.includes(call.id)} onResult={onResult} />
      ))}
      {isGrowing && text === "" && !isThinking && (turn.calls ?? []).length === 0 && (
        <p class="waiting" aria-hidden="true">
          <span /> <span /> <span />
        </p>
      )}
      {turn.error !== undefined && (
        <p class="error" role="alert">
          {turn.error}
        </p>
      )}
      <footer class="turn-foot">
        {!isGrowing && (
          <>
            <span class="stats">{statsText(turn)}</span>
            {text !== "" && <CopyButton text={text} label="Copy answer" />}
            {onRetry && (
              <button type="button" class="quiet" onClick={onRetry}>
                Retry
              </button>
            )}
          </>
        )}
      </footer>
    </article>
  );
}

function statsText({ stats, ending }: Turn): string {
  const words = [
    ...(stats === undefined ? [] : [`${stats.completionTokens.toLocaleString("en")} tokens`]),
    ...(stats?.tokensPerSecond === undefined ? [] : [`${speedText(stats.tokensPerSecond)} tokens/s`]),
    ...(ending === "stopped" ? ["stopped"] : []),
    ...(ending === "length" ? ["cut at the limit"] : []),
  ];
  return words.join(" · ");
}

function speedText(speed: number): string {
  return speed < 10 ? speed.toFixed(1) : Math.round(speed).toLocaleString("en");
}

interface CallProps {
  readonly call: ToolCall;
  readonly isOpen: boolean;
  readonly onResult: (callId: string, text: string) => void;
}

function Call({ call, isOpen, onResult }: CallProps) {
  const [result, setResult] = useState("");
  return (
    <section class="call" aria-label={`call of ${call.name}`}>
      <p>
        Calls <code>{call.name}</code> with
      </p>
      <CodeBlock text={pretty(call.arguments)} language="json" />
      {isOpen && (
        <form
          onSubmit={(event) => {
            event.preventDefault();
            onResult(call.id, result);
          }}
        >
          <TextField label={`Result of ${call.name}`} value={result} onChange={setResult} />
          <button type="submit">Send result</button>
        </form>
      )}
    </section>
  );
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), undefined, 2);
  } catch {
    return json;
  }
}

interface QuestionProps {
  readonly turn: Turn;
  readonly isBusy: boolean;
  readonly onEdit: (text: string) => void;
}

export function UserTurn({ turn, isBusy, onEdit }: QuestionProps) {
  const [draft, setDraft] = useState<string>();
  if (draft !== undefined) {
    return (
      <form
        class="turn edit"
        onSubmit={(event) => {
          event.preventDefault();
          setDraft(undefined);
          onEdit(draft);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") setDraft(undefined);
        }}
      >
        <TextField label="Edit the question" value={draft} onChange={setDraft} hasFocus />
        <p class="row">
          <button type="submit" disabled={isBusy || draft.trim() === ""}>
            Ask again
          </button>
          <button type="button" class="quiet" onClick={() => setDraft(undefined)}>
            Cancel
          </button>
        </p>
      </form>
    );
  }
  const isResult = turn.role === "tool";
  return (
    <article class="turn question" aria-label={isResult ? "Result of a call" : "Question"}>
      <div class="plain-text">{turn.text}</div>
      <footer class="turn-foot">
        {isResult ? (
          <span class="stats">result of a call</span>
        ) : (
          <button type="button" class="quiet" disabled={isBusy} onClick={() => setDraft(turn.text)}>
            Edit
          </button>
        )}
      </footer>
    </article>
  );
}
