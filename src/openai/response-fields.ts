/**
 * llama.cpp's `response_fields`: the members that are named, and no others; `a/b` is member b of member a, and keeps
 * that name. Names that lead nowhere are left out, no name at all keeps everything.
 */
export function pickFields(answer: object, names: readonly string[]): object {
  if (names.length === 0) return answer;
  const found = names.flatMap((name) => {
    const value = name.split("/").reduce<unknown>(memberOf, answer);
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(found);
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
