import { ask } from "../api.ts";

/** The server pauses 700 ms between the two parts; less than this between them is a host that held the first back. */
const LEAST_GAP_MS = 250;

/**
 * Whether the host passes on a stream as it comes. Only what is seen counts, no header: a gateway may hold back what
 * the supervisor behind it does not. Undefined when it cannot be told. In doubt a host holds back: polling always works.
 */
export async function passesStreams(): Promise<boolean | undefined> {
  try {
    const response = await ask("stream-check");
    const reader = response.body?.getReader();
    if (reader === undefined) return undefined;
    let firstAt: number | undefined;
    for (;;) {
      const { done } = await reader.read();
      firstAt ??= performance.now();
      if (done) return performance.now() - firstAt >= LEAST_GAP_MS;
    }
  } catch {
    return undefined;
  }
}
