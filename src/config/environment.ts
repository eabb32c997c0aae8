/** The environment of this process: nothing else reads it. */
export function readEnvironment(): Readonly<Record<string, string | undefined>> {
  return process.env
}

/**
 * The sockets that systemd has opened for this process (sd_listen_fds(3)): from descriptor 3 on, with the names of
 * `LISTEN_FDNAMES`. None where the variables are meant for another process.
 */
export function handedSockets(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): readonly { readonly fd: number; readonly name: string }[] {
  const count = /^\d{1,4}$/.exec(environment.LISTEN_FDS ?? '')?.[0]
  if (count === undefined || environment.LISTEN_PID !== String(pid)) return []
  const names = environment.LISTEN_FDNAMES?.split(':') ?? []
  return Array.from({ length: Number(count) }, (_, index) => ({ fd: 3 + index, name: names[index] ?? 'unknown' }))
}
