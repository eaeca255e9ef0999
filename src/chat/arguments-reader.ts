import type { ValueForm } from "../grammar/raw-text.ts";
import { endOf, openEnd, type TaggedArguments } from "./call-syntax.ts";

/** Makes JSON of a call's arguments, whose text comes in pieces and is known to be right. */
export interface ArgumentsReader {
  /** How much of the text was read, the JSON that it adds, and whether the arguments end there. */
  read(text: string): { readonly length: number; readonly json: string; readonly isWhole: boolean };
}

const SCALAR = /[\w.+-]/;

/** Finds the end of a JSON value. */
class JsonValueReader {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #isScalar = false;

  read(text: string): { readonly length: number; readonly isWhole: boolean } {
    for (let at = 0; at < text.length; at++) {
      const character = text[at]!;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (character === "\\") this.#escaped = true;
        else if (character === '"') {
          this.#inString = false;
          if (this.#depth === 0) return { length: at + 1, isWhole: true };
        }
      } else if (character === '"') this.#inString = true;
      else if (character === "{" || character === "[") this.#depth += 1;
      else if (character === "}" || character === "]") {
        this.#depth -= 1;
        if (this.#depth === 0) return { length: at + 1, isWhole: true };
      } else if (this.#depth === 0) {
        if (SCALAR.test(character)) this.#isScalar = true;
        // A number ends with what follows it.
        else if (this.#isScalar) return { length: at, isWhole: true };
      }
    }
    return { length: text.length, isWhole: false };
  }
}

/** Arguments that are a JSON object. */
export class JsonArgumentsReader implements ArgumentsReader {
  readonly #value = new JsonValueReader();
  #hasBegun = false;

  read(text: string): ReturnType<ArgumentsReader["read"]> {
    const start = this.#hasBegun ? 0 : text.length - text.trimStart().length;
    if (start === text.length) return { length: start, json: "", isWhole: false };
    this.#hasBegun = true;
    const { length, isWhole } = this.#value.read(text.slice(start));
    return { length: start + length, json: text.slice(start, start + length), isWhole };
  }
}

/** In which form the value of each argument stands. */
export interface ArgumentForms {
  readonly members: ReadonlyMap<string, ValueForm>;
  /** Of arguments with other names. */
  readonly further: ValueForm;
}

interface Step {
  readonly length: number;
  readonly json: string;
  /** `more` waits for text. */
  readonly next: "on" | "more" | "whole";
}

const NULL = "null";

/** Arguments between words: the JSON object that they stand for, in the layout of all others. */
export class TaggedArgumentsReader implements ArgumentsReader {
  readonly #words: TaggedArguments;
  readonly #forms: ArgumentForms;
  #place: "names" | "json" | "raw" | "end" = "names";
  #form: ValueForm = "json";
  #json = new JsonValueReader();
  #hasBegun = false;
  #hasText = false;
  #count = 0;

  constructor(words: TaggedArguments, forms: ArgumentForms) {
    this.#words = words;
    this.#forms = forms;
  }

  read(text: string): ReturnType<ArgumentsReader["read"]> {
    let length = 0;
    let json = this.#hasBegun ? "" : "{";
    this.#hasBegun = true;
    for (;;) {
      const step = this.#step(text.slice(length));
      length += step.length;
      json += step.json;
      if (step.next !== "on") return { length, json, isWhole: step.next === "whole" };
    }
  }

  #step(text: string): Step {
    if (this.#place === "names") return this.#readName(text);
    if (this.#place === "json") return this.#readJson(text);
    if (this.#place === "raw") return this.#readRaw(text);
    const end = endOf(this.#words.end, text, 0);
    if (typeof end === "string") return { length: 0, json: "", next: "more" };
    this.#place = "names";
    return { length: end, json: "", next: "on" };
  }

  /** An argument's name and the words around it, or what ends all of them. */
  #readName(text: string): Step {
    const space = text.length - text.trimStart().length;
    const { before, between } = this.#words;
    if (space === text.length) return { length: space, json: "", next: "more" };
    const start = endOf(before, text, space);
    if (start === "no") return { length: space, json: "}", next: "whole" };
    const stop = start === "maybe" ? -1 : text.indexOf(between[0]!, start);
    const end = stop < 0 ? "maybe" : endOf(between, text, stop);
    if (typeof end === "string") return { length: space, json: "", next: "more" };
    const name = text.slice(start as number, stop);
    this.#form = this.#forms.members.get(name) ?? this.#forms.further;
    this.#place = this.#form === "json" ? "json" : "raw";
    this.#json = new JsonValueReader();
    this.#hasText = false;
    const comma = this.#count++ === 0 ? "" : ", ";
    return { length: end, json: `${comma}${JSON.stringify(name)}: `, next: "on" };
  }

  #readJson(text: string): Step {
    const { length, isWhole } = this.#json.read(text);
    if (isWhole) this.#place = "end";
    return { length, json: text.slice(0, length), next: isWhole ? "on" : "more" };
  }

  #readRaw(text: string): Step {
    const end = text.indexOf(this.#words.end);
    if (!this.#hasText && this.#form === "raw-or-null") {
      if (end < 0 && (NULL + this.#words.end).startsWith(text)) return { length: 0, json: "", next: "more" };
      if (text.slice(0, Math.max(0, end)) === NULL) {
        this.#place = "end";
        return { length: end, json: NULL, next: "on" };
      }
    }
    const length = end < 0 ? text.length - openEnd(text, this.#words.end) : end;
    if (end >= 0) this.#place = "end";
    const quotes = [this.#hasText ? "" : '"', end < 0 ? "" : '"'];
    this.#hasText = true;
    return {
      length,
      json: `${quotes[0]}${JSON.stringify(text.slice(0, length)).slice(1, -1)}${quotes[1]}`,
      next: end < 0 ? "more" : "on",
    };
  }
}
