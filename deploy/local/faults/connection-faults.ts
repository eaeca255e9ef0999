/** Faults of the way to a node, whatever it is asked for. */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

import type { Faults } from "./faults.ts";

/** Around the API of a node. */
export function withConnectionFaults(listener: RequestListener, faults: Faults): RequestListener {
  return (request, response) => {
    if (faults.take("down")) request.destroy();
    else if (faults.take("silent")) request.resume();
    else if (faults.take("web-page"))
      answer(request, response, 200, "<!doctype html><title>Log in</title>", "text/html");
    else {
      const status = faults.take("api-status");
      if (status !== undefined) answer(request, response, status, "", "text/plain");
      else later(faults.take("slow"), () => listener(request, response));
    }
  };
}

export function later(ms: number | undefined, work: () => void): void {
  if (ms === undefined) work();
  else setTimeout(work, ms).unref();
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, body: string, type: string): void {
  // Read to the end, so that the sender comes to see the answer.
  request.resume().once("end", () => response.writeHead(status, { "content-type": type }).end(body));
}
