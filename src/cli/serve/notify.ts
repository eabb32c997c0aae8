import { execFile } from 'node:child_process'
import type { Logger } from 'pino'
import { readEnvironment } from '../../config/environment.js'

/** What the service manager is told (sd_notify(3)). */
export type ServiceState = 'READY=1' | 'STOPPING=1' | 'RELOADING=1'

/**
 * Tells systemd, where it has started this process and asks for it (`Type=notify`, `NotifyAccess=all`). Node cannot send to
 * its socket; the program `systemd-notify` does. Never rejects: what fails is logged.
 */
export async function notify(state: ServiceState, log: Logger): Promise<void> {
  const environment = readEnvironment()
  if (environment.NOTIFY_SOCKET === undefined || environment.NOTIFY_SOCKET === '') return
  const more = state === 'RELOADING=1' ? [`MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`] : []
  const args = [`--pid=${process.pid}`, state, ...more]
  await new Promise<void>((resolve) => {
    execFile('systemd-notify', args, { timeout: 5000 }, (error) => {
      if (error !== null) log.warn({ err: error }, `systemd was not told ${state}`)
      resolve()
    })
  })
}
