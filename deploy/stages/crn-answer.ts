/** What a compute node's answers mean for whoever waits for a program. Source: aleph-vm, orchestrator/run.py. */

export interface Look {
  /** `broken`: no proper answer, which may pass. */
  readonly kind: "ready" | "waiting" | "refused" | "broken";
  /** Without a full stop: what is the matter, and what to do. */
  readonly reason: string;
}

interface Meaning {
  readonly status?: number;
  readonly said: RegExp;
  readonly kind: Look["kind"];
  readonly reason: string;
}

const ELSEWHERE = "name another node with --crn";

/** The first that fits counts. */
const MEANINGS: readonly Meaning[] = [
  {
    said: /cannot host/,
    kind: "refused",
    reason:
      "it has no memory left for this program: all programs of a node share 8192 MiB by default; " +
      `${ELSEWHERE}, or deploy the model with less --memory`,
  },
  {
    said: /draining/i,
    kind: "refused",
    reason: `it is shutting down: ${ELSEWHERE}, or try again in some minutes`,
  },
  {
    said: /Unhandled error during initialisation/,
    kind: "refused",
    reason:
      "it cannot start the program: its API node does not know the message yet, or it refuses the content; " +
      "`pinference verify HASH --shallow` tells which, and a new message may take some minutes to get there",
  },
  {
    said: /Code, runtime or data not available/,
    kind: "refused",
    reason:
      "it cannot download the code or the runtime: `pinference status` tells whether they are still kept; " +
      `where they are, try again in some minutes, or ${ELSEWHERE}`,
  },
  {
    status: 500,
    said: /Error downloading|not found/,
    kind: "refused",
    reason:
      "it cannot download a volume: `pinference status` tells whether it is still kept; where it is, try again in " +
      `some minutes, or ${ELSEWHERE}`,
  },
  {
    said: /initialisation/,
    kind: "refused",
    reason:
      "the runtime does not start there: " +
      `${ELSEWHERE}; where none starts it, \`pinference up --vm\` shows on this machine what is wrong`,
  },
];

/** Of a request to a program's health. */
export function readCrnAnswer(status: number, text: string): Look {
  const error = errorOf(text);
  if (status === 200) return { kind: "ready", reason: "it is ready" };
  if (error.code === "model_loading") return { kind: "waiting", reason: "it loads the model" };
  if (error.code === "model_load_failed") {
    const advice = "deploy the model with more --memory, or another model file";
    return { kind: "refused", reason: `its model cannot be loaded: ${error.said.replace(/\.$/, "")}; ${advice}` };
  }
  const found = MEANINGS.find((one) => one.said.test(error.said) && (one.status ?? status) === status);
  if (found !== undefined) return { kind: found.kind, reason: `${found.reason} (it says: ${error.said})` };
  if (status === 502) {
    const advice = "where it goes on so, deploy the model with more --memory";
    return { kind: "broken", reason: `the program ended without an answer; ${advice}` };
  }
  if (status === 504 || status === 503 || status === 429) return { kind: "waiting", reason: "it is starting" };
  return { kind: "refused", reason: `it answers ${status}: ${error.said}; ${ELSEWHERE}` };
}

/** Errors of a CRN are strings, those of a program are objects. */
export function errorOf(text: string): { readonly code: string | undefined; readonly said: string } {
  try {
    const { error } = JSON.parse(text) as { error?: string | { message?: string; code?: string } };
    if (typeof error === "string") return { code: undefined, said: error };
    return { code: error?.code, said: error?.message ?? text.slice(0, 200) };
  } catch {
    return { code: undefined, said: text.slice(0, 200) };
  }
}
