/**
 * Markdown as elements. Text of the model never becomes markup: the lexer's tokens are turned into elements one by one,
 * a token of a kind that is not known here shows its source, and no string is ever parsed as HTML.
 */
import { Lexer, type Token, type Tokens } from "marked";
import type { ComponentChildren, VNode } from "preact";
import { memo } from "preact/compat";
import { useMemo } from "preact/hooks";

import { CodeBlock } from "./code-block.tsx";

export function Markdown({ text, isGrowing = false }: { text: string; isGrowing?: boolean }) {
  const blocks = useMemo(() => lex(text), [text]);
  return (
    <div class="markdown">
      {blocks.map((token, at) => (
        // A block that has not changed since the last piece is not drawn again.
        <Block key={at} raw={token.raw} token={token} isGrowing={isGrowing && at === blocks.length - 1} />
      ))}
    </div>
  );
}

function lex(text: string): Token[] {
  try {
    return new Lexer({ gfm: true, breaks: true }).lex(text);
  } catch {
    return [{ type: "paragraph", raw: text, text, tokens: [{ type: "text", raw: text, text }] }];
  }
}

const Block = memo(
  ({ token, isGrowing }: { token: Token; raw: string; isGrowing: boolean }) => <>{blockOf(token, isGrowing)}</>,
  (before, after) => before.raw === after.raw && before.isGrowing === after.isGrowing,
);

function blocksOf(tokens: readonly Token[], isGrowing: boolean): ComponentChildren {
  return tokens.map((token) => blockOf(token, isGrowing));
}

function blockOf(token: Token, isGrowing: boolean): ComponentChildren {
  switch (token.type) {
    case "space":
    case "def":
    case "checkbox":
      return null;
    case "heading":
      return heading(token as Tokens.Heading);
    case "paragraph":
      return <p>{inline(token.tokens)}</p>;
    case "code": {
      const { text, lang = "" } = token as Tokens.Code;
      return <CodeBlock text={text} language={lang.split(/\s/)[0] ?? ""} isGrowing={isGrowing} />;
    }
    case "blockquote":
      return <blockquote>{blocksOf(token.tokens ?? [], isGrowing)}</blockquote>;
    case "list":
      return list(token as Tokens.List, isGrowing);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return <hr />;
    case "text":
      return token.tokens === undefined ? decode((token as Tokens.Text).text) : inline(token.tokens);
    default:
      return <p>{token.raw}</p>;
  }
}

/** The page's own headings are above all of an answer's. */
function heading({ depth, tokens }: Tokens.Heading): VNode {
  const content = inline(tokens);
  if (depth === 1) return <h3>{content}</h3>;
  return depth === 2 ? <h4>{content}</h4> : <h5>{content}</h5>;
}

function list({ ordered, start, items }: Tokens.List, isGrowing: boolean): VNode {
  const rows = items.map((item, at) => (
    <li key={at}>
      {item.task && (
        <span aria-label={item.checked === true ? "done" : "to do"}>{item.checked === true ? "☑ " : "☐ "}</span>
      )}
      {blocksOf(item.tokens, isGrowing)}
    </li>
  ));
  return ordered ? <ol start={Number(start) || 1}>{rows}</ol> : <ul>{rows}</ul>;
}

function table({ header, rows }: Tokens.Table): VNode {
  return (
    <div class="wide" tabIndex={0} role="group" aria-label="table">
      <table>
        <thead>
          <tr>
            {header.map(({ tokens, align }, at) => (
              <th key={at} scope="col" class={align ?? ""}>
                {inline(tokens)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((cells, row) => (
            <tr key={row}>
              {cells.map(({ tokens, align }, at) => (
                <td key={at} class={align ?? ""}>
                  {inline(tokens)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(tokens: readonly Token[] = []): ComponentChildren {
  return tokens.map((token): ComponentChildren => {
    switch (token.type) {
      case "strong":
        return <strong>{inline(token.tokens)}</strong>;
      case "em":
        return <em>{inline(token.tokens)}</em>;
      case "del":
        return <del>{inline(token.tokens)}</del>;
      case "br":
        return <br />;
      case "codespan":
        return <code>{(token as Tokens.Codespan).text}</code>;
      case "link":
        return link((token as Tokens.Link).href, inline(token.tokens));
      case "image": {
        // Shown as what it is: a link. Fetching it would tell somebody else that it is being read.
        const { href, text } = token as Tokens.Image;
        return link(href, text === "" ? href : text);
      }
      case "text":
        return token.tokens === undefined ? decode((token as Tokens.Text).text) : inline(token.tokens);
      case "escape":
        return (token as Tokens.Escape).text;
      default:
        return token.raw;
    }
  });
}

const SAFE_LINK = /^(?:https?|mailto):/i;

function link(href: string, content: ComponentChildren): ComponentChildren {
  if (!SAFE_LINK.test(href.trim())) return content;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {content}
    </a>
  );
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00A0",
};

/** The lexer leaves character references in texts as they are. */
function decode(text: string): string {
  return text.replaceAll(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,4}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[String(name).toLowerCase()] ?? whole;
    const code = Number.parseInt(decimal ?? hex, decimal === undefined ? 16 : 10);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
