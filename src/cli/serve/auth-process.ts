import { runAuthProcess } from '../../config/auth-process.js'
import type { AuthBriefing } from '../../config/auth-process.js'
import { createLogger } from '../../config/logger.js'
import { loadNative } from '../../store/native.js'
import { readBriefing } from './briefing.js'

/** Knows all callers as its broker says, which comes first on standard input; resolves to the exit code. */
export async function serveAsAuth(): Promise<number> {
  // A terminal and a service manager signal the whole group; the broker alone decides.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.umask(0o077)
  // Where the addon is not there, root alone can look into it all the same.
  loadNative()?.seclude()
  const briefing = await readBriefing<AuthBriefing>()
  const log = await createLogger(briefing.config.log, { shared: true })
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  await runAuthProcess(briefing, log)
  return 0
}
