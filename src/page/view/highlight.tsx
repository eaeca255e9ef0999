import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";
import type { ComponentChildren } from "preact";

const lowlight = createLowlight({
  bash,
  c,
  cpp,
  css,
  diff,
  go,
  java,
  javascript,
  json,
  markdown,
  python,
  rust,
  sql,
  typescript,
  xml,
  yaml,
});

/** Colours a longer text are not worth the wait. */
const MOST_CHARACTERS = 20_000;

interface Node {
  readonly type: string;
  readonly value?: string;
  readonly properties?: { readonly className?: unknown };
  readonly children?: readonly Node[];
}

/** The text, in elements that only have classes. A language that is not known stays plain. */
export function highlight(text: string, language: string): ComponentChildren {
  if (text.length > MOST_CHARACTERS || !lowlight.registered(language)) return text;
  return toElements((lowlight.highlight(language, text) as Node).children);
}

function toElements(nodes: readonly Node[] = []): ComponentChildren {
  return nodes.map(({ type, value, properties, children }) => {
    if (type === "text") return value;
    const names = Array.isArray(properties?.className) ? properties.className.join(" ") : "";
    return <span class={names}>{toElements(children)}</span>;
  });
}
