/** Aborts at the first SIGINT, SIGTERM or SIGHUP; the second one ends the process at once. */
export function stopAtSignals(): { readonly signal: AbortSignal; end(): void } {
  const stop = new AbortController()
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const end = (): void => {
    for (const name of names) process.off(name, take)
  }
  const take = (): void => {
    end()
    stop.abort()
  }
  for (const name of names) process.on(name, take)
  return { signal: stop.signal, end }
}
