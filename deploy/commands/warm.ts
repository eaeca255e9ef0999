import { CodedError } from "../../src/domain/errors.ts";
import { findCrns, warm as warmOn } from "../stages/warm.ts";
import { command } from "./command.ts";
import { NETWORK_OPTIONS, START_MINUTES } from "./operator.ts";
import { readTarget, TARGET } from "./target.ts";

export const warm = command({
  name: "warm",
  summary: "Start a published model on compute nodes, and wait until it answers there",
  positionals: TARGET,
  options: {
    ...NETWORK_OPTIONS,
    crn: { type: "string", value: "URLS", help: "compute nodes, separated by commas (default: that of the URL)" },
    minutes: START_MINUTES,
  },
  examples: ["pinference warm qwen3-0.6b --crn https://crn1.example.org,https://crn2.example.org"],
  async run(options, positionals, context) {
    const { out, parts, signal } = context;
    const { itemHash, apiServer, crn } = await readTarget(positionals, options, context);
    const crns = await findCrns(
      { apiServer, aggregate: parts.aggregates(apiServer, options.timeout * 1000) },
      options.crn ?? crn,
      signal,
    );
    const failed: string[] = [];
    await Promise.all(
      crns.map(async (url) => {
        const startedAt = performance.now();
        const onWait = (reason: string) => out.emit({ event: "note", message: `${url}: ${reason}` });
        const limits = { limitMs: options.minutes * 60_000, lookMs: options.timeout * 1000 };
        const reason = await warmOn(url, itemHash, { signal, ...limits, onWait });
        if (reason !== undefined) failed.push(`${url}: ${reason}`);
        const ms = performance.now() - startedAt;
        const detail = reason === undefined ? url : `${url}: ${reason}`;
        out.emit({
          event: "stage",
          stage: "compute node",
          outcome: reason === undefined ? "ready" : "failed",
          detail,
          ms,
        });
      }),
    );
    if (failed.length > 0) throw new CodedError("program_failed", `it did not start everywhere. ${failed.join(". ")}`);
  },
});
