import { execFile } from 'node:child_process'
import type { Logger } from 'pino'
import { readEnvironment } from '../../config/environment.js'
import { loadNative } from '../../store/native.js'

/** What the service manager is told (sd_notify(3)). */
export type ServiceState = 'READY=1' | 'STOPPING=1' | 'RELOADING=1'

/**
 * Tells systemd, where it has started this process and asks for it (`Type=notify`). Where the addon is not there the program
 * `systemd-notify` does it, which systemd hears only with `NotifyAccess=all`. Never rejects: what fails is logged.
 */
export async function notify(state: ServiceState, log: Logger): Promise<void> {
  const socket = readEnvironment().NOTIFY_SOCKET
  if (socket === undefined || socket === '') return
  const more = state === 'RELOADING=1' ? [`MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`] : []
  // This process itself: what a user's process says to systemd must not count.
  if (loadNative()?.sendDatagram(socket, [state, `MAINPID=${process.pid}`, ...more].join('\n')) === 0) return
  const args = [`--pid=${process.pid}`, state, ...more]
  await new Promise<void>((resolve) => {
    execFile('systemd-notify', args, { timeout: 5000 }, (error) => {
      if (error !== null) log.warn({ err: error }, `systemd was not told ${state}`)
      resolve()
    })
  })
}
