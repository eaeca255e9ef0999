/** Writes one event. `data` holds ids, counts and times; never prompt text and never keys. */
export type Log = (event: string, data?: Readonly<Record<string, unknown>>) => void;

/** JSON lines, each with its time and event. */
export function createLog(output: { write(line: string): unknown }): Log {
  return (event, data = {}) => {
    output.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...data })}\n`);
  };
}

/** What a log may say of an unexpected error. */
export function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
