import { literal } from "../grammar/characters.ts";
import { freeTextRules, freeTextStart, type FreeTextOptions } from "../grammar/free-text.ts";
import { prefixRules } from "../grammar/gbnf-names.ts";
import { JSON_RULES } from "../grammar/json-schema.ts";
import { callRules, CALLS, CALLS_AFTER_TRIGGER } from "./call-grammar.ts";
import { openingOf, triggerOf, type CallSyntax } from "./call-syntax.ts";
import type { CallableTool } from "./tools.ts";
import { THINK, type ThinkingPlace, type ThinkingTags } from "./thinking.ts";

export interface AnswerForm {
  readonly thinking: ThinkingPlace;
  /** Around thinking text. Default: the usual ones. */
  readonly tags?: ThinkingTags;
  /** Undefined without tools. */
  readonly calls: CallForm | undefined;
  /** A grammar for an answer in text; undefined leaves it free. */
  readonly text: string | undefined;
}

export interface CallForm {
  readonly syntax: CallSyntax;
  /** Those that may be called; none where no call is possible. */
  readonly tools: readonly CallableTool[];
  /** Nothing but calls. */
  readonly isForced: boolean;
  readonly isSingle: boolean;
}

/**
 * One grammar for a whole answer: thinking, then text or calls. Undefined where anything goes.
 *
 * It reads an answer from its first character on, instead of waking up at a call: so a call cannot begin with a token
 * that holds more than its beginning, and where no call is allowed, none can begin.
 */
export function answerGrammar({ thinking, tags = THINK, calls, text }: AnswerForm): string | undefined {
  if (calls === undefined && text === undefined) return undefined;
  const isForced = calls?.isForced ?? false;
  const isFree = text === undefined && !isForced;
  const rules: string[] = [];
  const callsStart = calls === undefined || calls.tools.length === 0 ? undefined : CALLS;
  if (calls !== undefined && callsStart !== undefined) rules.push(...callRules(calls));

  let start = "body";
  if (text !== undefined && !isForced) {
    const bodies = ["text-root", ...(callsStart === undefined ? [] : [callsStart])];
    rules.push(prefixRules(text, "text-"), `body ::= ${bodies.join(" | ")}`);
  } else if (isForced) rules.push(`body ::= ${CALLS}`);
  else if (calls !== undefined)
    start = addFreeText(rules, calls, callsStart !== undefined, thinking === "possible" ? tags : undefined);

  const think: FreeTextOptions = { name: "think", words: [{ word: tags.end, follow: "answer" }], canEnd: isFree };
  if (thinking !== "none") {
    rules.push(...freeTextRules(think), `answer ::= ${isFree ? "" : "[ \\n]{0,4} "}body`);
  }
  const root = {
    none: start,
    open: freeTextStart(think),
    possible: start === "body" ? `body | ${literal(tags.start)} ${freeTextStart(think)}` : start,
  }[thinking];
  return [`root ::= ${root}`, ...rules, ...JSON_RULES].join("\n");
}

/** Text without a call's beginning, or with calls at its end. Returns the rule that an answer begins with. */
function addFreeText(
  rules: string[],
  { syntax }: CallForm,
  canCall: boolean,
  opening: ThinkingTags | undefined,
): string {
  if (syntax.onlyAtStart === true) {
    rules.push(...otherTextRules(openingOf(syntax, true)), `body ::= ${canCall ? `other-0 | ${CALLS}` : "other-0"}`);
    return "body";
  }
  const text: FreeTextOptions = {
    name: "free",
    words: [{ word: triggerOf(syntax), ...(canCall && { follow: CALLS_AFTER_TRIGGER }) }],
    ...(opening && { opening: { word: opening.start, follow: "think-0" } }),
    canEnd: true,
  };
  rules.push(...freeTextRules(text), "body ::= free-0");
  return opening !== undefined ? freeTextStart(text) : "body";
}

/** Text that does not begin as calls do. */
function otherTextRules(opening: string): string[] {
  const rules: string[] = [];
  let spaces = true;
  const steps = Array.from(opening).flatMap((character) => {
    if (character === " ") {
      spaces = true;
      return [];
    }
    const step = { character, spaces };
    spaces = false;
    return [step];
  });
  steps.forEach(({ character, spaces: mayHaveSpaces }, index) => {
    const own = `other-${index}`;
    const point = `\\U${character.codePointAt(0)!.toString(16).padStart(8, "0")}`;
    const alternatives = [`[^${point}${mayHaveSpaces ? " \\n\\t" : ""}] anything`];
    if (mayHaveSpaces) alternatives.push(`[ \\n\\t] ${own}`);
    if (index < steps.length - 1) alternatives.push(`${literal(character)} other-${index + 1}`);
    rules.push(`${own} ::= (${alternatives.join(" | ")})?`);
  });
  return [...rules, "anything ::= [\\x00-\\U0010ffff]*"];
}
