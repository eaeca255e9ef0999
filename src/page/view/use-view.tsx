import { useId, useRef, useState } from "preact/hooks";

import { snippetsFor, type Endpoint } from "../use/snippets.ts";
import { CodeBlock } from "./code-block.tsx";

export function UseView({ endpoint }: { endpoint: Endpoint }) {
  const [selected, setSelected] = useState(0);
  const id = useId();
  const tabs = useRef<HTMLDivElement>(null);
  const snippets = snippetsFor(endpoint);
  const snippet = snippets[selected] ?? snippets[0]!;

  function move(event: KeyboardEvent): void {
    const steps: Record<string, number> = {
      ArrowRight: 1,
      ArrowLeft: -1,
      Home: -selected,
      End: snippets.length - 1 - selected,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = (selected + step + snippets.length) % snippets.length;
    setSelected(next);
    tabs.current?.querySelectorAll("button")[next]?.focus();
  }

  return (
    <section class="prose" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Use it</h2>
      <p>Any OpenAI client can call this model: only the base URL changes.</p>
      <CodeBlock text={endpoint.baseUrl} language="base URL" />
      <div class="tabs" role="tablist" aria-label="Language" ref={tabs} onKeyDown={move}>
        {snippets.map(({ name }, at) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`${id}-tab-${at}`}
            aria-selected={at === selected}
            aria-controls={`${id}-panel`}
            tabIndex={at === selected ? 0 : -1}
            onClick={() => setSelected(at)}
          >
            {name}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-tab-${selected}`}>
        {snippet.install === undefined ? (
          <p class="hint">Nothing to install.</p>
        ) : (
          <p class="hint">
            First: <code>{snippet.install}</code>
          </p>
        )}
        <CodeBlock text={snippet.code.trimEnd()} language={snippet.language} />
      </div>
      <p class="hint">
        {endpoint.requiresKey
          ? "Put your key in the place of YOUR_KEY. "
          : "No key is needed; clients that want one take any. "}
        The whole API is described in <a href="openapi.json">openapi.json</a>.
      </p>
    </section>
  );
}
