import { useMemo } from "preact/hooks";

import { CopyButton } from "./copy-button.tsx";
import { highlight } from "./highlight.tsx";

interface CodeBlockProps {
  readonly text: string;
  readonly language: string;
  /** Its end has not arrived: it is coloured when it has. */
  readonly isGrowing?: boolean;
}

export function CodeBlock({ text, language, isGrowing = false }: CodeBlockProps) {
  const content = useMemo(() => (isGrowing ? text : highlight(text, language)), [text, language, isGrowing]);
  return (
    <figure class="code">
      <figcaption>
        <span>{language.slice(0, 30) || "text"}</span>
        <CopyButton text={text} label="Copy code" />
      </figcaption>
      <pre tabIndex={0} role="group" aria-label={`code in ${language.slice(0, 30) || "plain text"}`}>
        <code>{content}</code>
      </pre>
    </figure>
  );
}
