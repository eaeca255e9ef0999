/** What happens in the guest, as JSON lines like those of the server. Never what a client sent. */
export type GuestLog = (event: string, data?: Readonly<Record<string, unknown>>) => void;

export function createGuestLog(output: {
  write(line: string): unknown;
  on?(event: "error", listener: () => void): unknown;
}): GuestLog {
  // Nobody may be left to read it.
  output.on?.("error", () => undefined);
  return (event, data = {}) => {
    output.write(`${JSON.stringify({ time: new Date().toISOString(), event: `guest_${event}`, ...data })}\n`);
  };
}
