import { useState } from "preact/hooks";

const SHOWN_MS = 1500;

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [outcome, setOutcome] = useState("Copy");
  async function copy(): Promise<void> {
    setOutcome((await copyText(text)) ? "Copied" : "Not copied");
    setTimeout(() => setOutcome("Copy"), SHOWN_MS);
  }
  return (
    <button
      type="button"
      class="quiet copy"
      aria-label={outcome === "Copy" ? label : outcome}
      onClick={() => void copy()}
    >
      {outcome}
    </button>
  );
}

/** Pages without TLS have no clipboard, except on the machine itself; the older way works there. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "hidden";
    document.body.append(field);
    field.select();
    // oxlint-disable-next-line typescript/no-deprecated -- there is no other way without TLS
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
