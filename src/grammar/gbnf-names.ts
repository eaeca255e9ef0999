/** Literals, classes, comments and counts, in which letters are no names; or a name. */
const PIECE = /"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*|\{[^}]*\}|[A-Za-z0-9_-]+/g;

/** A grammar whose rules all have other names, so that it can stand beside another. */
export function prefixRules(grammar: string, prefix: string): string {
  return grammar.replace(PIECE, (piece) => (/^[A-Za-z0-9_-]/.test(piece) ? prefix + piece : piece));
}
