import { runAuthProcess } from '../../config/auth-process.js'
import type { AuthBriefing } from '../../config/auth-process.js'
import { createLogger } from '../../config/logger.js'
import { Failure } from '../../core/failure.js'
import { loadNative } from '../../store/native.js'

/** Knows all callers as its broker says, which comes first on standard input; resolves to the exit code. */
export async function serveAsAuth(): Promise<number> {
  // A terminal and a service manager signal the whole group; the broker alone decides.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.umask(0o077)
  // Where the addon is not there, root alone can look into it all the same.
  loadNative()?.seclude()
  const briefing = await readBriefing()
  const log = await createLogger(briefing.config.log, { shared: true })
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  await runAuthProcess(briefing, log)
  return 0
}

async function readBriefing(): Promise<AuthBriefing> {
  const pieces: Buffer[] = []
  for await (const piece of process.stdin) pieces.push(piece as Buffer)
  try {
    return JSON.parse(Buffer.concat(pieces).toString()) as AuthBriefing
  } catch (cause) {
    throw new Failure('invalid', 'This process is started by "postern serve --privsep", not by hand.', { cause })
  }
}
