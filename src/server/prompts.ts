import { setTimeout as sleep } from "node:timers/promises";

import { contextLengthExceeded } from "../domain/context-length.ts";
import type { Engine, Generation } from "../domain/engine.ts";
import { CodedError } from "../domain/errors.ts";
import type { GenerateRequest, GenerationStep, Prompt, Timings, Usage } from "../domain/generation.ts";

/** Prompts of one request that are with the engine at the same time: the queue belongs to other clients too. */
const AT_ONCE = 4;
/** How long to wait when the queue is full of others. */
const RETRY_MS = 50;

type Done = Extract<GenerationStep, { type: "done" }>;

interface Running {
  readonly index: number;
  readonly steps: AsyncIterator<GenerationStep>;
  next: Promise<{ readonly from: Running; readonly result: IteratorResult<GenerationStep> }>;
}

export interface PromptsGeneration extends Generation {
  readonly promptTokensEach: readonly number[];
}

/** A prompt in the client's own words, token ids written out. */
export function textOf(engine: Engine, prompt: Prompt): string {
  if (prompt.kind !== "text") return engine.render(prompt);
  if (prompt.parts.every((part) => typeof part === "string")) return prompt.parts.join("");
  return engine.detokenize(engine.tokenize(prompt.parts, { addSpecial: false, parseSpecial: true }));
}

/**
 * Runs the prompts of one request as if they were one: choice numbers go on from prompt to prompt, counts and times are
 * summed up. All prompts are checked before the first of them starts. Errors: as `Engine.generate`.
 */
export async function generateAll(
  engine: Engine,
  requests: readonly GenerateRequest[],
  signal: AbortSignal,
): Promise<PromptsGeneration> {
  const [first, ...others] = requests;
  if (first === undefined) throw new Error("a request has at least one prompt");
  if (others.length === 0) {
    const generation = await engine.generate(first, signal);
    return { ...generation, promptTokensEach: [generation.promptTokens] };
  }
  const promptTokensEach: number[] = [];
  const limit = engine.model.contextLength;
  for (const { prompt } of requests) {
    const tokens = await engine.count(prompt);
    if (tokens >= limit) throw contextLengthExceeded(prompt.kind, tokens, limit);
    promptTokensEach.push(tokens);
  }
  const { steps } = await engine.generate(first, signal);
  const promptTokens = promptTokensEach.reduce((total, tokens) => total + tokens, 0);
  return { promptTokens, promptTokensEach, steps: merge(engine, requests, steps[Symbol.asyncIterator](), signal) };
}

async function* merge(
  engine: Engine,
  requests: readonly GenerateRequest[],
  first: AsyncIterator<GenerationStep>,
  signal: AbortSignal,
): AsyncGenerator<GenerationStep> {
  const running = new Map<number, Running>();
  const add = (index: number, steps: AsyncIterator<GenerationStep>) => running.set(index, start(index, steps));
  let nextPrompt = 1;
  let total: Done | undefined;
  add(0, first);
  try {
    while (running.size > 0 || nextPrompt < requests.length) {
      while (running.size < AT_ONCE && nextPrompt < requests.length) {
        const steps = await tryToStart(engine, requests[nextPrompt]!, signal);
        if (steps === undefined) break;
        add(nextPrompt, steps);
        nextPrompt += 1;
      }
      if (running.size === 0) {
        // Others' requests fill the queue: this one was accepted as a whole and waits for them.
        await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) throw new CodedError("client_left", "The client left.");
        continue;
      }
      const { from, result } = await Promise.race([...running.values()].map(({ next }) => next));
      if (result.done === true) {
        running.delete(from.index);
        continue;
      }
      advance(from);
      const step = result.value;
      if (step.type === "done") total = addUp(total, step);
      else if (step.type === "text" || step.type === "finish") {
        yield { ...step, choice: from.index * requests[from.index]!.choices + step.choice };
      } else yield { ...step, prompt: from.index };
    }
    if (total !== undefined) yield total;
  } finally {
    // A reader that leaves ends all of them.
    for (const { steps } of running.values()) void steps.return?.().catch(() => undefined);
  }
}

function start(index: number, steps: AsyncIterator<GenerationStep>): Running {
  const running = { index, steps } as Running;
  advance(running);
  return running;
}

/** Asks for the next step. A failure that nobody waits for yet is no fault of the process. */
function advance(from: Running): void {
  from.next = takeFrom(from);
  from.next.catch(() => undefined);
}

async function takeFrom(from: Running): Promise<{ from: Running; result: IteratorResult<GenerationStep> }> {
  return { from, result: await from.steps.next() };
}

/** A full queue refuses a request by its first prompt only; the others wait, which undefined says. */
async function tryToStart(
  engine: Engine,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<AsyncIterator<GenerationStep> | undefined> {
  try {
    const { steps } = await engine.generate(request, signal);
    return steps[Symbol.asyncIterator]();
  } catch (error) {
    if (error instanceof CodedError && error.code === "rate_limit_exceeded") return undefined;
    throw error;
  }
}

function addUp(a: Done | undefined, b: Done): Done {
  if (a === undefined) return b;
  return { type: "done", usage: sum<Usage>(a.usage, b.usage), timings: sum<Timings>(a.timings, b.timings) };
}

function sum<Counts extends Usage | Timings>(a: Counts, b: Counts): Counts {
  return Object.fromEntries(
    Object.entries(a).map(([name, value]) => [name, (value as number) + (b[name as keyof Counts] as number)]),
  ) as unknown as Counts;
}
