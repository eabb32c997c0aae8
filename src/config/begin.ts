import type { Logger } from 'pino'
import { ensureAdmin } from './first-start.js'
import type { FirstAdmin } from './first-start.js'
import { openGround } from './ground.js'
import type { Ground } from './ground.js'
import type { Config } from './load.js'
import { prepareSetup } from './setup.js'
import type { PreparedSetup } from './setup.js'

/** What is done once for a server, however many processes it has. */
export interface Beginning {
  /** Sweeps; the caller closes it. */
  readonly ground: Ground
  readonly setup: PreparedSetup
  /** The admin that the first start made. */
  readonly admin: FirstAdmin | undefined
}

/**
 * Opens root and state, as their owner; mends what a crash has interrupted; makes the first admin, where the catalog is asked, and the certificate.
 * Throws what `openGround`, `ensureAdmin` and `prepareSetup` throw, and then leaves nothing open.
 */
export async function begin(config: Config, log: Logger, adminPassword: string | undefined): Promise<Beginning> {
  const ground = await openGround(config, { log, sweeps: true, keepsUp: true })
  try {
    await ground.mend()
    const asksCatalog = config.identity.some(({ kind }) => kind === 'catalog')
    const admin = asksCatalog ? await ensureAdmin(ground.accounts, ground.hasher, adminPassword) : undefined
    if (admin !== undefined)
      ground.audit.write({
        event: 'user-changed',
        what: 'made',
        source: 'catalog',
        user: admin.name,
        grants: admin.grants,
        by: ground.startedBy,
      })
    return { ground, admin, setup: await prepareSetup(config) }
  } catch (error) {
    await ground.close()
    throw error
  }
}
