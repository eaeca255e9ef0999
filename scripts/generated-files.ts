import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";

import { errorTable, exitCodeTable, rejectionTable } from "./error-tables.ts";
import { memoryTable } from "./memory-table.ts";
import { openLockfile } from "../deploy/pins.ts";
import { BODIES, createOpenApi } from "../src/openai/openapi.ts";
import { modelsPage } from "./models-page.ts";

/** A committed file that is made from the source, in whole or in part. */
export interface GeneratedFile {
  readonly path: string;
  readonly committed: string;
  readonly generated: string;
}

/** Compiled scripts live in dist/scripts. */
const root = new URL("../../", import.meta.url);
const FIELDS = {
  start: "<!-- request fields: written by `npm run regenerate` -->",
  end: "<!-- end of request fields -->",
};
const MEMORY = { start: "<!-- memory: written by `npm run regenerate` -->", end: "<!-- end of memory -->" };
const COLUMNS = {
  ChatRequest: "chat",
  CompletionRequest: "completions",
  NativeRequest: "native",
  InfillRequest: "infill",
  ResponseRequest: "responses",
  MessageRequest: "messages",
  EmbeddingRequest: "embeddings",
  NativeEmbeddingRequest: "native embeddings",
  RerankRequest: "rerank",
  TokenizeRequest: "tokenize",
  DetokenizeRequest: "detokenize",
} as const;

export async function generatedFiles(): Promise<GeneratedFile[]> {
  const readme = read("README.md");
  const { models } = await openLockfile(fileURLToPath(new URL("deploy/pins.json", root)));
  return [
    await made("docs/models.md", modelsPage(models)),
    await made("docs/openapi.json", JSON.stringify(createOpenApi())),
    await made("docs/runbook.md", runbook(read("docs/runbook.md"), read("docs/transcript.md"))),
    await made("README.md", between(between(readme, FIELDS, fieldTable()), MEMORY, memoryTable())),
  ];
}

async function made(name: string, text: string): Promise<GeneratedFile> {
  const path = fileURLToPath(new URL(name, root));
  const options = await resolveConfig(path);
  return { path, committed: read(name), generated: await format(text, { ...options, filepath: path }) };
}

function read(name: string): string {
  try {
    return readFileSync(new URL(name, root), "utf8");
  } catch {
    // The first time.
    return "";
  }
}

function between(text: string, marks: { readonly start: string; readonly end: string }, part: string): string {
  const [start, end] = [text.indexOf(marks.start), text.indexOf(marks.end)];
  if (start < 0 || end < start) throw new Error(`a file has lost its marks: ${marks.start} … ${marks.end}`);
  return `${text.slice(0, start + marks.start.length)}\n\n${part}\n${text.slice(end)}`;
}

/** Its tables come from the source, its output from the transcript. */
function runbook(text: string, transcript: string): string {
  const tables = [
    ["exit codes", exitCodeTable()],
    ["errors", errorTable()],
    ["rejections", rejectionTable()],
  ] as const;
  let filled = text;
  for (const [name, table] of tables) {
    const marks = { start: `<!-- ${name}: written by \`npm run regenerate\` -->`, end: `<!-- end of ${name} -->` };
    filled = between(filled, marks, table);
  }
  return filled.replaceAll(
    /(<!-- transcript: (.+) -->)[^]*?(<!-- end of transcript -->)/g,
    (_, start: string, title: string, end: string) => `${start}\n\n${blocksOf(transcript, title)}\n\n${end}`,
  );
}

/** The consoles of a chapter. Errors: where there is none. */
function blocksOf(transcript: string, title: string): string {
  const chapter = transcript.split(/^## /m).find((part) => part.startsWith(`${title}\n`));
  const blocks = chapter?.match(/^```console\n[^]*?^```$/gm);
  if (!blocks) throw new Error(`docs/transcript.md has no chapter "${title}" with output`);
  return blocks.join("\n\n");
}

/** Fields that mean the same on several routes share a row. */
function fieldTable(): string {
  const rows = new Map<string, { name: string; routes: string[]; use: string; meaning: string }>();
  for (const [body, route] of Object.entries(COLUMNS)) {
    for (const [name, { use, meaning }] of Object.entries(BODIES[body]!)) {
      const key = JSON.stringify([name, use, meaning]);
      const row = rows.get(key) ?? { name, routes: [], use, meaning };
      row.routes.push(route);
      rows.set(key, row);
    }
  }
  const lines = [...rows.values()].map(
    ({ name, routes, use, meaning }) =>
      `| \`${name}\` | ${routes.join(", ")} | ${USES[use] ?? use} | ${meaning.replaceAll("|", "\\|")} |`,
  );
  return ["| field | routes | what happens | meaning |", "| - | - | - | - |", ...lines, ""].join("\n");
}

const USES: Readonly<Record<string, string>> = {
  neutral: "refused unless it asks for nothing",
  ignored: "checked, then ignored and reported",
  accepted: "checked, then accepted",
};
