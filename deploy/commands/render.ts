import type {
  AddedEvent,
  BenchEvent,
  CatalogueEvent,
  CommandEvent,
  ErrorEvent,
  ReadyEvent,
  StageEvent,
} from "./events.ts";
import { formatBytes, formatDuration, formatRate } from "./format.ts";
import { renderCredits, renderDeployed, renderForgotten, renderPlan, renderStatus } from "./render-plan.ts";

const STAGE_WIDTH = 14;
const OUTCOME_WIDTH = 9;
const BYTES_WIDTH = 9;
const HASH_LETTERS = 8;
/** Of `STORE of the model volume 1`. */
const LINK_WIDTH = 27;

type Paint = (style: keyof typeof STYLES, text: string) => string;

const STYLES = { bold: [1, 22], dim: [2, 22], green: [32, 39], red: [31, 39] } as const;

/** One event as people read it, newline included. */
export function renderEvent(event: CommandEvent, color: boolean): string {
  const paint: Paint = (style, text) => (color ? `\x1b[${STYLES[style][0]}m${text}\x1b[${STYLES[style][1]}m` : text);
  switch (event.event) {
    case "stage":
      return `${renderStage(event, paint)}\n`;
    case "note":
      return `  ${paint("dim", `note: ${event.message}`)}\n`;
    case "ready":
      return renderReady(event, paint);
    case "model":
      return `${renderModel(event)}\n`;
    case "plan":
      return renderPlan(event);
    case "deployed":
      return renderDeployed(event);
    case "finding":
      return `  ${event.ok ? paint("green", "ok    ") : paint("red", "WRONG ")}  ${event.link.padEnd(LINK_WIDTH)}  ${event.evidence}\n`;
    case "verified":
      return renderVerified(event, paint);
    case "added":
      return renderAdded(event);
    case "answer":
      // The terminal has shown it while it came.
      return "";
    case "bench":
      return `${renderBench(event)}\n`;
    case "status":
      return renderStatus(event);
    case "credits":
      return renderCredits(event);
    case "forgotten":
      return renderForgotten(event);
    case "stopped":
      // The terminal has written ^C where this would begin.
      return "\n  stopped\n";
    default:
      return renderError(event, paint);
  }
}

function renderStage(event: StageEvent, paint: Paint): string {
  // Of the bytes where there are some: anybody can compute it again, while each STORE message has a hash of its own.
  const hash = event.sha256 ?? event.itemHash;
  const cells = [
    event.stage.padEnd(STAGE_WIDTH),
    paint(event.outcome === "cached" ? "dim" : "green", event.outcome.padEnd(OUTCOME_WIDTH)),
    ...(hash === undefined ? [] : [toSizeCell(event.bytes), paint("dim", `${hash.slice(0, HASH_LETTERS)}…`)]),
    ...(event.detail === undefined ? [] : [event.detail]),
    ...(event.model === undefined ? [] : [event.model]),
    ...toPace(event).map((pace) => paint("dim", pace)),
  ];
  return `  ${cells.join("  ")}`;
}

/** Of an answer, the rate says more than the time, which is mostly that of the start. */
function toPace({ tokensPerSecond, ms }: StageEvent): readonly string[] {
  if (tokensPerSecond !== undefined) return [`${formatRate(tokensPerSecond)} tokens/s`];
  return ms === undefined ? [] : [formatDuration(ms)];
}

/** Messages have no size worth knowing, but their hashes stand below those of files. */
function toSizeCell(bytes: number | undefined): string {
  return (bytes === undefined ? "" : formatBytes(bytes)).padStart(BYTES_WIDTH);
}

function renderReady(event: ReadyEvent, paint: Paint): string {
  const models = event.models.flatMap(({ model, baseUrl, curl }) => [
    "",
    `  ${paint("green", "ready")}  ${paint("bold", model)}`,
    `    base URL  ${baseUrl}`,
    `    ${curl}`,
  ]);
  const end = event.stays ? ["", `  All models: ${event.index}`, `  ${paint("dim", "Ctrl-C ends it.")}`] : [];
  return `${[...models, ...end].join("\n")}\n`;
}

function renderVerified({ ok, isDeep, itemHash }: Extract<CommandEvent, { event: "verified" }>, paint: Paint): string {
  if (!ok) return `\n  ${paint("red", "not verified")}  ${itemHash}: see the lines that say WRONG\n`;
  const whole = "what answers at this hash is what these sources and this model file give, and it cannot change";
  const partly =
    "its messages and files are what their hashes say; whether they come from these sources was not checked";
  return `\n  ${paint("green", "verified")}  ${itemHash}: ${isDeep ? whole : partly}\n`;
}

function renderModel({ id, bytes, contextLength, licence, source }: CatalogueEvent): string {
  return `  ${id.padEnd(24)}  ${formatBytes(bytes).padStart(BYTES_WIDTH)}  ${String(contextLength).padStart(7)} tokens  ${licence.padEnd(12)}  ${source}`;
}

function renderAdded({ entry, path, isNew, dryRun }: AddedEvent): string {
  const did = dryRun ? "would stand in" : isNew ? "added to" : "completed in";
  const lines = JSON.stringify(entry, null, 2).split("\n");
  return `${lines.map((line) => `  ${line}`).join("\n")}\n\n  ${did} ${path}\n`;
}

const BAR_WIDTH = 30;
/** Tokens a second that fill the bar. */
const BAR_FULL = 60;

function renderBench(event: BenchEvent): string {
  const { clients, firstTokenMs, tokensPerSecond, totalTokensPerSecond, failed } = event;
  const length = Math.min(BAR_WIDTH, Math.max(1, Math.round((totalTokensPerSecond / BAR_FULL) * BAR_WIDTH)));
  const cells = [
    `${clients} client${clients === 1 ? " " : "s"}`,
    `first token ${formatDuration(firstTokenMs).padStart(8)}`,
    `${(tokensPerSecond === undefined ? "–" : formatRate(tokensPerSecond)).padStart(5)} tokens/s each`,
    `${formatRate(totalTokensPerSecond).padStart(5)} together`,
    "█".repeat(length) + "░".repeat(BAR_WIDTH - length),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ];
  return `  ${cells.join("  ")}`;
}

function renderError({ message }: ErrorEvent, paint: Paint): string {
  return `${paint("red", "error:")} ${message}\n`;
}
