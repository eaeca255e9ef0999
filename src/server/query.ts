/** The query of a request's target, which may be no whole URL. */
export function queryOf(url: string): URLSearchParams {
  return new URL(url, "http://localhost").searchParams;
}
