import { useEffect, useRef } from "preact/hooks";

interface ComposerProps {
  readonly draft: string;
  readonly isReady: boolean;
  readonly isAnswering: boolean;
  /** Undefined while it is not known. */
  readonly used: number | undefined;
  readonly contextLength: number | undefined;
  readonly onDraft: (text: string) => void;
  readonly onAsk: () => void;
  readonly onStop: () => void;
}

export function Composer(props: ComposerProps) {
  const { draft, isReady, isAnswering, used, contextLength, onDraft, onAsk, onStop } = props;
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    // On a phone this would open the keyboard over half of the page.
    if (matchMedia("(hover: hover)").matches) field.current?.focus();
  }, []);
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isAnswering) onAsk();
      }}
    >
      <label class="hidden" for="question">
        Your question
      </label>
      <textarea
        id="question"
        ref={field}
        rows={1}
        placeholder="Ask something"
        value={draft}
        aria-describedby="composer-hint"
        onInput={({ currentTarget }) => onDraft(currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onStop();
          // While an input method is open, Enter belongs to it.
          if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
          event.preventDefault();
          if (!isAnswering && isReady) onAsk();
        }}
      />
      {isAnswering ? (
        <button type="button" onClick={onStop}>
          Stop
        </button>
      ) : (
        <button type="submit" disabled={!isReady || draft.trim() === ""}>
          Send
        </button>
      )}
      <p class="composer-foot">
        <span id="composer-hint">
          <kbd>Enter</kbd> sends, <kbd>Shift</kbd> <kbd>Enter</kbd> breaks the line
        </span>
        <span class="context">{contextLength === undefined ? "" : contextText(used, contextLength)}</span>
      </p>
    </form>
  );
}

function contextText(used: number | undefined, contextLength: number): string {
  return `${used === undefined ? "–" : used.toLocaleString("en")} / ${contextLength.toLocaleString("en")} tokens`;
}
