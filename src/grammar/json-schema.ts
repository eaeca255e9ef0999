import { CodedError } from "../domain/errors.ts";
import { complement, jsonCharacter, literal, rawCharacter, type Ranges } from "./characters.ts";
import { FORMATS } from "./formats.ts";
import { checkGrammar, type Rules } from "./gbnf-check.ts";
import { MAX_REPETITIONS } from "./gbnf-syntax.ts";
import { INTEGER, integersBetween, NUMBER, numbersBetween, type NumberBounds } from "./numbers.ts";
import { PatternFault, patternToGrammar } from "./pattern.ts";
import { beginningsOfMember, branchingFault, LIST, OBJECT, type Beginning } from "./schema-branching.ts";
import { asRawString, RAW_TEXT, rawTextRules, type ValueForm } from "./raw-text.ts";
import { canBeBoth, fits, isRemark, TYPES, typesOf } from "./schema-facts.ts";
import { mergeSchemas, TooLarge, type AnySchema, type Schema } from "./schema-merge.ts";

export interface SchemaOptions {
  /** Refuse keywords that cannot be enforced, which are ignored otherwise. */
  readonly strict: boolean;
  /** The request member that holds the schema. */
  readonly param: string;
}

const MAX_DEPTH = 48;
/** Of the JSON itself, enumerated values included. */
const MAX_JSON_DEPTH = 128;
const MAX_JSON_VALUES = 50_000;
const MAX_SCHEMAS = 3000;
const MAX_BRANCHES = 256;
const MAX_RULES = 4000;

const WHITESPACE = `(" " | "\\n" [ \\t]{0,16})?`;
/** As in most of what models have read; one layout only, so that what stands between values needs no choice. */
const COMMA = '", "';
const COLON = '": "';
const HEX = "[0-9a-fA-F]";
const PLAIN = `[^"\\\\\\x7f\\x00-\\x1f]`;
// No halves of surrogate pairs: each escape is one code point.
const ESCAPE = `"\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-CefEF] ${HEX}{3} | [dD] [0-7] ${HEX}{2}))`;
const COMMON: Readonly<Record<string, string>> = {
  ws: WHITESPACE,
  char: `${PLAIN} | ${ESCAPE}`,
  string: `"\\"" char* "\\""`,
  integer: INTEGER,
  number: NUMBER,
  boolean: `"true" | "false"`,
  null: `"null"`,
  value: `object | array | string | number | boolean | null`,
  object: `"{" ws (string ":" ws value ws ("," ws string ":" ws value ws)*)? "}"`,
  array: `"[" ws (value ws ("," ws value ws)*)? "]"`,
};

/** The rules that those of schemas refer to. `ws` is the white space between tokens. */
export const JSON_RULES: readonly string[] = Object.entries(COMMON).map(([name, body]) => `${name} ::= ${body}`);

/** Keywords that say nothing about which values fit, or that are handled where they stand. */
const KNOWN = new Set(
  (
    "type properties required additionalProperties enum const anyOf oneOf allOf $ref $defs definitions items " +
    "prefixItems additionalItems minItems maxItems minLength maxLength pattern minimum maximum exclusiveMinimum " +
    "exclusiveMaximum format minProperties maxProperties title description default examples example $comment " +
    "deprecated readOnly writeOnly $id id $schema $anchor nullable strict name contentMediaType contentEncoding"
  ).split(" "),
);

/**
 * JSON Schema → a grammar whose every text is JSON that fits. It may be narrower than the schema: objects have their
 * named properties in order, and none but those unless the schema says which.
 * Errors: `invalid_json_schema`.
 */
export function schemaToGrammar(schema: unknown, options: SchemaOptions): string {
  const { root, rules } = schemaToRules(schema, options);
  return [`root ::= ${root}`, ...rules, ...JSON_RULES].join("\n");
}

/** A schema's rules, to be joined with those of others and with `JSON_RULES`. */
export interface SchemaRules {
  /** An expression that can stand in a sequence. */
  readonly root: string;
  readonly rules: readonly string[];
}

/** As `schemaToGrammar`. Names of rules begin with `prefix`, so that several schemas fit into one grammar. */
export function schemaToRules(schema: unknown, options: SchemaOptions, prefix = ""): SchemaRules {
  return new Converter(schema, options, prefix).convert();
}

/** A member of an object whose name and value stand between words instead of in JSON. */
export interface MemberRules {
  readonly name: string;
  readonly required: boolean;
  readonly form: ValueForm;
  /** An expression of the value and of the word that ends it. */
  readonly value: string;
}

export interface ObjectRules {
  /** In the schema's order. */
  readonly members: readonly MemberRules[];
  /** Of members with other names, where the schema names none. */
  readonly further: Omit<MemberRules, "name" | "required"> | undefined;
  /** To be joined with `rawTextRules(end)` and `JSON_RULES`. */
  readonly rules: readonly string[];
}

/**
 * An object's members by themselves, each value ended by the word `end`. Strings stand as bare text where it tells them
 * from all else that fits: any text without `end`; for `enum` and `const` their values; for `format`, `pattern`,
 * `minLength` and `maxLength` a text without `<`, so that it cannot hold `end`. All else is JSON, so a string beside a
 * number, or one that needs a `<`, stands in quotes.
 * Errors: as `schemaToGrammar`.
 */
export function objectToRules(schema: Schema, options: SchemaOptions, prefix: string, end: string): ObjectRules {
  return new Converter(schema, options, prefix).convertMembers(end);
}

/** How strings are written. */
interface Notation {
  readonly quote: string;
  readonly plain: string;
  readonly char: string;
  readonly character: (ranges: Ranges) => string | undefined;
}

const IN_JSON: Notation = { quote: `"\\""`, plain: "string", char: "char", character: jsonCharacter };
const BARE: Notation = { quote: "", plain: RAW_TEXT, char: "[^<]", character: rawCharacter };

class Converter {
  readonly #root: unknown;
  readonly #options: SchemaOptions;
  readonly #prefix: string;
  readonly #rules = new Map<string, string>();
  readonly #names = new Map<string, string>();
  /** Rules of references, by pointer; undefined while nothing fits. */
  readonly #references = new Map<string, string | undefined>();
  readonly #unions = new Map<string, readonly string[]>([["value", ["object", "array"]]]);
  readonly #beginnings = new Map<string, readonly Beginning[]>([
    ["object", [OBJECT]],
    ["array", [LIST]],
  ]);
  #depth = 0;
  #schemas = 0;

  constructor(root: unknown, options: SchemaOptions, prefix: string) {
    this.#root = root;
    this.#options = options;
    this.#prefix = prefix;
  }

  convert(): SchemaRules {
    if (typeof this.#root !== "object" || this.#root === null || Array.isArray(this.#root)) {
      throw this.#fault("expected an object");
    }
    this.#measure();
    const root = this.#compileAny(this.#root);
    if (root === undefined) throw this.#fault("no value fits it");
    const rules = [...this.#rules].map(([name, body]) => `${name} ::= ${body}`);
    const text = [`root ::= ${root}`, ...rules, ...JSON_RULES].join("\n");
    this.#refuseBranching(text);
    return { root, rules };
  }

  convertMembers(end: string): ObjectRules {
    const schema = this.#root as Schema;
    this.#measure();
    this.#checkKeywords(schema);
    const properties = schema["properties"] ?? {};
    if (!isSchema(properties)) throw this.#fault("expected an object as properties");
    const required = new Set(schema["required"] === undefined ? [] : this.#array(schema, "required"));
    const additional = schema["additionalProperties"];
    const names = [...new Set([...Object.keys(properties), ...required])];
    const members: MemberRules[] = [];
    for (const name of names) {
      if (typeof name !== "string") throw this.#fault("expected strings in required");
      const value = this.#value(Object.hasOwn(properties, name) ? properties[name] : (additional ?? true), end);
      if (value !== undefined) members.push({ name, required: required.has(name), ...value });
      else if (required.has(name)) throw this.#fault("no value fits it");
    }
    const further = names.length > 0 ? undefined : this.#value(additional ?? true, end);
    this.#checkCounts(schema, members, further !== undefined);
    const rules = [...this.#rules].map(([name, body]) => `${name} ::= ${body}`);
    const parts = [...members, ...(further === undefined ? [] : [further])].map(({ value }) => `(${value})`);
    const root = `root ::= ${["[.]", ...parts].join(" ")}`;
    this.#refuseBranching([root, ...rules, ...rawTextRules(end), ...JSON_RULES].join("\n"));
    return { members, further, rules };
  }

  /** A member's value and the word that ends it; undefined when no value fits. */
  #value(schema: unknown, end: string): Omit<MemberRules, "name" | "required"> | undefined {
    const raw = this.#raw(schema, end);
    if (raw !== undefined) return raw;
    const value = this.#compileAny(schema);
    return value === undefined ? undefined : { form: "json", value: `${value} ${literal(end)}` };
  }

  #raw(schema: unknown, end: string): Omit<MemberRules, "name" | "required"> | undefined {
    const string = asRawString(schema, end, (reference) => this.#lookUp(reference));
    if (string === undefined) return undefined;
    const { values, isNullable } = string;
    const form = isNullable ? "raw-or-null" : "raw";
    if (values === undefined && this.#needsQuotes(string.schema)) return undefined;
    this.#checkKeywords(string.schema);
    const text =
      values === undefined ? this.#string(string.schema, BARE) : this.#choice(values.map((value) => literal(value)));
    if (text === undefined) return undefined;
    // Any text holds the word `null` too.
    if (text === RAW_TEXT) return { form, value: text };
    const value = isNullable ? this.#choice([text, '"null"'])! : text;
    return { form, value: `${value} ${literal(end)}` };
  }

  /** A pattern that can be held, but not without quotes. */
  #needsQuotes({ pattern }: Schema): boolean {
    if (typeof pattern !== "string") return false;
    const fault = (notation: Notation) => {
      try {
        patternToGrammar(pattern, { any: notation.char, character: notation.character });
        return false;
      } catch (cause) {
        return cause instanceof PatternFault;
      }
    };
    return fault(BARE) && !fault(IN_JSON);
  }

  #refuseBranching(text: string): void {
    const fault = branchingFault(this.#check(text), { unions: this.#unions, beginnings: this.#beginnings });
    if (fault !== undefined) throw this.#fault(fault);
  }

  #check(text: string): Rules {
    try {
      return checkGrammar(text);
    } catch (cause) {
      if (!(cause instanceof CodedError)) throw cause;
      throw this.#fault("it is too large, or refers to itself without an end", cause);
    }
  }

  /** What is within these limits is safe for functions that call themselves. */
  #measure(): void {
    let level: unknown[] = [this.#root];
    let values = 0;
    for (let depth = 0; level.length > 0; depth++) {
      values += level.length;
      if (depth > MAX_JSON_DEPTH) throw this.#fault("it is nested too deep");
      if (values > MAX_JSON_VALUES) throw this.#fault("it is too large");
      level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
    }
  }

  /** As `#compile`, with a fault for what becomes too large. */
  #compileAny(schema: unknown): string | undefined {
    try {
      return this.#compile(schema);
    } catch (cause) {
      if (!(cause instanceof TooLarge)) throw cause;
      throw this.#fault("it is too large once its alternatives are written out");
    }
  }

  /** An expression that can stand in a sequence; undefined when no value fits. */
  #compile(schema: unknown): string | undefined {
    if (schema === true) return "value";
    if (schema === false) return undefined;
    if (!isSchema(schema)) throw this.#fault("a schema in it is not an object");
    if (++this.#schemas > MAX_SCHEMAS) throw this.#fault(`it has more than ${MAX_SCHEMAS} parts`);
    if (++this.#depth > MAX_DEPTH) throw this.#fault(`it is nested deeper than ${MAX_DEPTH} levels`);
    try {
      return this.#compileObject(schema);
    } finally {
      this.#depth -= 1;
    }
  }

  #compileObject(schema: Schema): string | undefined {
    this.#checkKeywords(schema);
    const { $ref: reference } = schema;
    if (reference !== undefined) {
      const { $ref: _, ...siblings } = schema;
      const constrains = Object.keys(siblings).some((key) => KNOWN.has(key) && !isRemark(key));
      return constrains ? this.#compile({ allOf: [siblings, { $ref: reference }] }) : this.#refer(reference);
    }
    if (schema["allOf"] !== undefined) {
      const flat = this.#flatten(schema, 0);
      return flat === undefined ? undefined : this.#compile(flat);
    }
    for (const keyword of ["anyOf", "oneOf"]) {
      if (schema[keyword] !== undefined) return this.#union(keyword, schema);
    }
    if (schema["const"] !== undefined) return this.#values([schema["const"]], schema);
    if (schema["enum"] !== undefined) return this.#values(this.#array(schema, "enum"), schema);
    const types = typesOf(schema);
    if (types === undefined) return "value";
    return this.#choice(types.map((type) => this.#ofType(type, schema)));
  }

  #ofType(type: string, schema: Schema): string | undefined {
    switch (type) {
      case "object":
        return this.#object(schema);
      case "array":
        return this.#list(schema);
      case "string":
        return this.#string(schema);
      case "integer":
      case "number":
        return this.#number(type, schema);
      default:
        return type;
    }
  }

  #checkKeywords(schema: Schema): void {
    for (const [keyword, value] of Object.entries(schema)) {
      const harmless =
        KNOWN.has(keyword) ||
        (keyword === "uniqueItems" && value === false) ||
        (keyword === "multipleOf" && value === 1 && schema["type"] === "integer") ||
        ((keyword === "unevaluatedProperties" || keyword === "unevaluatedItems") && typeof value === "boolean");
      if (!harmless) this.#cannot(keyword);
    }
    const types = schema["type"];
    if (types === undefined) return;
    const list = [types].flat();
    const unknown = list.find((type) => typeof type !== "string" || !TYPES.has(type));
    if (unknown !== undefined || list.length === 0) {
      throw this.#fault(`expected types of ${[...TYPES].join(", ")}, got ${show(unknown ?? types)}`);
    }
  }

  #refer(reference: unknown): string | undefined {
    if (typeof reference !== "string") throw this.#fault("expected strings as $ref");
    if (this.#references.has(reference)) return this.#references.get(reference);
    const target = this.#lookUp(reference);
    const name = `${this.#prefix}ref-${this.#references.size}`;
    this.#references.set(reference, name);
    const body = this.#compile(target);
    if (body === undefined) this.#references.set(reference, undefined);
    this.#define(name, body ?? name);
    return body === undefined ? undefined : name;
  }

  #lookUp(reference: unknown): unknown {
    const dangling = () =>
      this.#fault(`the $ref ${show(reference)} leads nowhere; expected #/$defs/… of the same schema`);
    if (typeof reference !== "string" || (reference !== "#" && !reference.startsWith("#/"))) throw dangling();
    let target: unknown = this.#root;
    for (const part of reference.split("/").slice(1)) {
      const key = decodePointer(part);
      if (typeof target !== "object" || target === null || !Object.hasOwn(target, key)) throw dangling();
      target = (target as Record<string, unknown>)[key];
    }
    return target;
  }

  /** allOf and $ref become one schema; undefined when nothing fits. */
  #flatten(schema: Schema, depth: number): Schema | undefined {
    if (depth > MAX_DEPTH || ++this.#schemas > MAX_SCHEMAS) throw this.#fault("its allOf or $ref are nested too deep");
    const { allOf: parts, $ref: reference, ...own } = schema;
    this.#checkKeywords(own);
    let merged: Schema = "const" in own ? withConstAsEnum(own) : own;
    const others = parts === undefined ? [] : this.#array(schema, "allOf");
    if (reference !== undefined) others.push(this.#lookUp(reference));
    for (const part of others) {
      if (part === false) return undefined;
      if (part === true) continue;
      if (!isSchema(part)) throw this.#fault("a schema in it is not an object");
      const flat = this.#flatten(part, depth + 1);
      if (flat === undefined) return undefined;
      merged = mergeSchemas(merged, flat, (keyword) => this.#cannot(keyword));
    }
    const types = merged["type"];
    return Array.isArray(types) && types.length === 0 ? undefined : merged;
  }

  #union(keyword: string, schema: Schema): string | undefined {
    const { [keyword]: _, ...base } = schema;
    const branches = this.#array(schema, keyword) as AnySchema[];
    if (branches.length > MAX_BRANCHES)
      throw this.#fault(`expected at most ${MAX_BRANCHES} alternatives in ${keyword}`);
    const constrains = Object.keys(base).some((key) => !isRemark(key));
    if (keyword === "oneOf") {
      const resolved = branches.map((branch) => (isSchema(branch) ? this.#flatten(branch, 0) : branch));
      const overlaps = resolved.some((a, index) => resolved.slice(index + 1).some((b) => canBeBoth(a, b)));
      // What fits two branches does not fit oneOf.
      if (overlaps) this.#cannot("oneOf with overlapping alternatives");
    }
    return this.#choice(
      branches.map((branch) =>
        this.#compile(constrains ? { ...base, allOf: [base["allOf"] ?? [], branch].flat() } : branch),
      ),
    );
  }

  #values(values: readonly unknown[], schema: Schema): string | undefined {
    if (schema["pattern"] !== undefined || schema["format"] !== undefined) this.#cannot("pattern beside enum");
    if (schema["properties"] !== undefined || schema["items"] !== undefined) this.#cannot("properties beside enum");
    const both = schema["const"] !== undefined && Array.isArray(schema["enum"]) ? schema["enum"] : undefined;
    const allowed = both?.map((value) => JSON.stringify(value));
    const fitting = values.filter(
      (value) => fits(value, schema) && (allowed === undefined || allowed.includes(JSON.stringify(value))),
    );
    return this.#choice(fitting.map((value) => literal(JSON.stringify(value))));
  }

  #number(type: "integer" | "number", schema: Schema): string | undefined {
    const bounds: NumberBounds = {
      minimum: this.#bound(schema, "minimum"),
      maximum: this.#bound(schema, "maximum"),
      exclusiveMinimum: this.#bound(schema, "exclusiveMinimum"),
      exclusiveMaximum: this.#bound(schema, "exclusiveMaximum"),
    };
    if (Object.values(bounds).every((bound) => bound === undefined)) return type;
    const body = type === "integer" ? integersBetween(bounds) : numbersBetween(bounds);
    if (body !== undefined) return this.#rule(body);
    if (type === "integer") return undefined;
    this.#cannot("minimum and maximum so close to each other");
    return type;
  }

  #string(schema: Schema, { quote, plain, char, character }: Notation = IN_JSON): string | undefined {
    const least = this.#count(schema, "minLength") ?? 0;
    const most = this.#count(schema, "maxLength") ?? Infinity;
    if (least > most) return undefined;
    const { pattern, format } = schema;
    const quoted = (body: string) => [quote, body, quote].filter((part) => part !== "").join(" ");
    if (pattern !== undefined) {
      if (typeof pattern !== "string") throw this.#fault("expected a string as pattern");
      if (format !== undefined) this.#cannot("format beside pattern");
      const body = this.#pattern(pattern, least, most, character);
      if (body !== undefined) return this.#rule(quoted(body));
    } else if (format !== undefined) {
      const body = typeof format === "string" ? FORMATS.get(format) : undefined;
      if (body === undefined) this.#cannot(`format ${show(format)}`);
      else {
        if (least > 0 || most < Infinity) this.#cannot("minLength or maxLength beside format");
        return this.#rule(quoted(body));
      }
    }
    if (least === 0 && most === Infinity) return plain;
    return this.#rule(quoted(`${char}${this.#times(least, most, "maxLength")}`));
  }

  #pattern(source: string, least: number, most: number, character: Notation["character"]): string | undefined {
    try {
      // All characters without those whose escapes would double the states.
      const any = character(complement([[0, 0x1f]]))!;
      const piece = patternToGrammar(source, { any: this.#rule(any), character });
      if (piece.least < least || piece.most > most)
        this.#cannot("minLength or maxLength beside a pattern of other lengths");
      return piece.grammar;
    } catch (cause) {
      if (!(cause instanceof PatternFault)) throw cause;
      this.#cannot(`pattern ${show(source)} (${cause.message})`);
      return undefined;
    }
  }

  #list(schema: Schema): string | undefined {
    const tuple = schema["prefixItems"] ?? (Array.isArray(schema["items"]) ? schema["items"] : undefined);
    const rest = Array.isArray(schema["items"]) ? schema["additionalItems"] : schema["items"];
    const first = tuple === undefined ? [] : (tuple as unknown[]);
    if (!Array.isArray(first)) throw this.#fault("expected an array as prefixItems");
    const least = this.#count(schema, "minItems") ?? 0;
    const wanted = this.#count(schema, "maxItems") ?? Infinity;
    const items = first.map((item) => this.#compile(item));
    const other = rest === undefined ? (first.length > 0 ? undefined : "value") : this.#compile(rest);
    // Without a word on further items there need be none, but for those that minItems asks for.
    const further = other ?? (rest === undefined && least > first.length ? "value" : undefined);
    const gap = items.indexOf(undefined);
    const known = gap < 0 ? items : items.slice(0, gap);
    const most = Math.min(wanted, gap >= 0 ? gap : further === undefined ? items.length : Infinity);
    if (least > most) return undefined;
    const name = this.#rule(`"[" ${this.#listBody(known as string[], further, least, most)} "]"`);
    this.#beginnings.set(name, [LIST]);
    return name;
  }

  #listBody(items: readonly string[], further: string | undefined, least: number, most: number): string {
    const named = items.slice(0, most);
    let tail = "";
    const [fewer, more] = [Math.max(0, least - named.length), most - named.length];
    if (further !== undefined && more > 0) {
      if (named.length > 0) tail = `(${COMMA} ${further})${this.#times(fewer, more, "maxItems")}`;
      else {
        const others =
          more > 1 ? ` (${COMMA} ${further})${this.#times(Math.max(0, fewer - 1), more - 1, "maxItems")}` : "";
        tail = `(${further}${others})${least === 0 ? "?" : ""}`;
      }
    }
    for (const [index, item] of [...named.entries()].toReversed()) {
      const here = `${index === 0 ? "" : `${COMMA} `}${item} ${tail}`;
      tail = index >= least ? this.#rule(`(${here})?`) : here;
    }
    return tail;
  }

  #object(schema: Schema): string | undefined {
    const properties = schema["properties"] ?? {};
    if (!isSchema(properties)) throw this.#fault("expected an object as properties");
    const required = new Set(schema["required"] === undefined ? [] : this.#array(schema, "required"));
    const additional = schema["additionalProperties"];
    const members: Member[] = [];
    const names = [...new Set([...Object.keys(properties), ...required])];
    for (const name of names) {
      if (typeof name !== "string") throw this.#fault("expected strings in required");
      const value = this.#compile(Object.hasOwn(properties, name) ? properties[name] : (additional ?? true));
      if (value === undefined && required.has(name)) return undefined;
      if (value === undefined) continue;
      members.push({
        text: `${literal(JSON.stringify(name))} ${COLON} ${value}`,
        required: required.has(name),
        beginnings: beginningsOfMember(name, properties[name], required.has(name)),
      });
    }
    // Silence about additional properties allows them; asking for none is then the narrower form.
    const extra = additional === undefined ? names.length === 0 : additional;
    const value = extra === false ? undefined : this.#compile(extra);
    const further = value === undefined ? undefined : `${this.#otherKey(names as string[])} ${COLON} ${value}`;
    this.#checkCounts(schema, members, further !== undefined);
    const name = this.#rule(`"{" ${this.#members(members, further)} "}"`);
    const firstRequired = members.findIndex((member) => member.required);
    const firsts = firstRequired < 0 ? members : members.slice(0, firstRequired + 1);
    const isOpen = further !== undefined && firstRequired < 0;
    this.#beginnings.set(name, isOpen ? [OBJECT] : firsts.flatMap((member) => member.beginnings));
    return name;
  }

  #checkCounts(schema: Schema, members: readonly { required: boolean }[], open: boolean): void {
    const least = this.#count(schema, "minProperties") ?? 0;
    const most = this.#count(schema, "maxProperties") ?? Infinity;
    if (members.filter((member) => member.required).length < least) this.#cannot("minProperties");
    if (most < (open ? Infinity : members.length)) this.#cannot("maxProperties");
  }

  /** Members in order; each but the first that is present stands behind a comma. */
  #members(members: readonly { text: string; required: boolean }[], further: string | undefined): string {
    const starts: string[] = [];
    let rest = further === undefined ? "" : `(${COMMA} ${further})*`;
    let first = further === undefined ? "" : `${further} ${rest}`;
    if (first !== "") starts.push(first);
    for (const { text, required } of members.toReversed()) {
      const tail = rest.length > 40 ? this.#rule(rest) : rest;
      if (required) starts.length = 0;
      starts.unshift(`${text} ${tail}`);
      rest = required ? `${COMMA} ${text} ${tail}` : `(${COMMA} ${text})? ${tail}`;
    }
    first = starts.length === 0 ? "" : starts.join(" | ");
    const someRequired = members.some((member) => member.required);
    return first === "" ? "" : `(${first})${someRequired ? "" : "?"}`;
  }

  /** A key that is none of these: their characters as a tree, left at any place. Such keys have no escapes. */
  #otherKey(names: readonly string[]): string {
    if (names.length === 0) return "string";
    const tree: KeyTree = { next: new Map(), ends: false };
    for (const name of names) {
      let here = tree;
      for (const character of name) {
        let next = here.next.get(character);
        if (next === undefined) here.next.set(character, (next = { next: new Map(), ends: false }));
        here = next;
      }
      here.ends = true;
    }
    return this.#rule(`"\\"" ${this.#avoid(tree, 0)} "\\""`);
  }

  #avoid(tree: KeyTree, depth: number): string {
    if (depth > 200) throw this.#fault("a property's name is too long beside additionalProperties");
    const points = [...tree.next.keys()].map((character) => character.codePointAt(0)!);
    const plain = [
      ...points.map((point) => [point, point] as const),
      [0, 0x1f] as const,
      [0x22, 0x22] as const,
      [0x5c, 0x5c] as const,
    ];
    const parts = [`${jsonCharacter(complement(plain))} ${PLAIN}*`];
    for (const [character, next] of tree.next) {
      const own = jsonCharacter([[character.codePointAt(0)!, character.codePointAt(0)!]]);
      if (own !== undefined) parts.push(`${own} ${this.#rule(this.#avoid(next, depth + 1))}`);
    }
    return `(${parts.join(" | ")})${tree.ends ? "" : "?"}`;
  }

  #times(least: number, most: number, keyword: string): string {
    if (least > MAX_REPETITIONS)
      throw this.#fault(`expected at most ${MAX_REPETITIONS} as a lower count, got ${least}`);
    if (most === Infinity) return least === 0 ? "*" : `{${least},}`;
    if (most > MAX_REPETITIONS) {
      this.#cannot(`${keyword} above ${MAX_REPETITIONS}`);
      return `{${least},}`;
    }
    return `{${least},${most}}`;
  }

  #choice(parts: readonly (string | undefined)[]): string | undefined {
    const present = [...new Set(parts.filter((part) => part !== undefined))];
    if (present.length < 2) return present[0];
    const name = this.#rule(present.join(" | "));
    this.#unions.set(name, present);
    return name;
  }

  /** The same text is the same rule. */
  #rule(body: string): string {
    const known = this.#names.get(body);
    if (known !== undefined) return known;
    const name = `${this.#prefix}r${this.#names.size}`;
    this.#names.set(body, name);
    this.#define(name, body);
    return name;
  }

  #define(name: string, body: string): void {
    if (this.#rules.size >= MAX_RULES) throw this.#fault("it is too large");
    this.#rules.set(name, body);
  }

  #count(schema: Schema, keyword: string): number | undefined {
    const value = schema[keyword];
    if (value === undefined) return undefined;
    if (Number.isInteger(value) && Number(value) >= 0) return Number(value);
    throw this.#fault(`expected a number of at least 0 as ${keyword}, got ${show(value)}`);
  }

  #bound(schema: Schema, keyword: string): number | undefined {
    const value = schema[keyword];
    if (value === undefined || typeof value === "number") return value;
    throw this.#fault(`expected a number as ${keyword}, got ${show(value)}`);
  }

  #array(schema: Schema, keyword: string): unknown[] {
    const value = schema[keyword];
    if (Array.isArray(value) && (value.length > 0 || keyword === "required")) return [...(value as unknown[])];
    throw this.#fault(
      `expected ${keyword === "required" ? "an" : "a non-empty"} array as ${keyword}, got ${show(value)}`,
    );
  }

  #cannot(what: string): void {
    if (this.#options.strict) throw this.#fault(`${what} cannot be enforced; leave it out or set strict to false`);
  }

  #fault(reason: string, cause?: unknown): CodedError {
    const { param } = this.#options;
    return new CodedError("invalid_json_schema", `Invalid JSON Schema in '${param}': ${reason}.`, { param, cause });
  }
}

interface Member {
  readonly text: string;
  readonly required: boolean;
  /** Of an object with this member as its first. */
  readonly beginnings: readonly Beginning[];
}

interface KeyTree {
  readonly next: Map<string, KeyTree>;
  ends: boolean;
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withConstAsEnum({ const: value, ...rest }: Schema): Schema {
  return mergeSchemas({ enum: [value] }, rest, () => undefined);
}

function decodePointer(part: string): string {
  try {
    return decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
  } catch {
    return part;
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
