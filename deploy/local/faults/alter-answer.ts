import type { Response } from "express";

/** Gives the route's JSON answer, when it comes, to `alter`, whose result is sent instead. */
export function alterAnswer(res: Response, alter: (body: unknown) => unknown): void {
  const send = res.json.bind(res);
  res.json = (body: unknown) => send(alter(body));
}

/** Whether a path has one segment behind the prefix. */
export function isOne(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && !path.slice(prefix.length).includes("/");
}
