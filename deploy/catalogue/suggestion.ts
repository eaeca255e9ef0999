/** The name that was probably meant; undefined when none is near. Given a beginning of names, the first of these. */
export function closest(typed: string, names: readonly string[]): string | undefined {
  let best: { name: string; distance: number } | undefined;
  for (const name of names) {
    const distance = editDistance(typed.slice(0, 100), name);
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  // A third of the letters may be wrong: more would suggest names that merely have the same length.
  if (best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3))) return best.name;
  return typed.length < 3 ? undefined : names.find((name) => name.startsWith(typed) || typed.startsWith(`${name}-`));
}

/** Levenshtein's: insertions, deletions and replacements. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
