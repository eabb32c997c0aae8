import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import { thinned } from '../auth/audit.js'
import type { AccountEvent, LoginEvent } from '../auth/audit.js'
import { createAuthenticator } from '../auth/authenticator.js'
import { createCredentialKey } from '../auth/cached.js'
import { createCredentialCheck } from '../auth/credential-check.js'
import type { StartPam } from '../auth/pam/spawned-pam.js'
import { schemesFor } from '../auth/scheme/schemes-for.js'
import { createKeyedJudge } from '../auth/sigv4/keyed-judge.js'
import { createThrottle } from '../auth/throttle.js'
import { systemClock } from '../core/clock.js'
import type { Knowledge } from '../privsep/auth/knowledge.js'
import { ensureAdmin } from './first-start.js'
import type { FirstAdmin } from './first-start.js'
import { openSources } from './identity/open.js'
import { installationSecret } from './installation-secret.js'
import type { Config } from './load.js'
import { homeInTree } from './privsep-settings.js'
import { openState } from './state.js'
import type { State } from './state.js'

/** The part of a configuration that says who is known. */
export type KnowledgeSettings = Pick<
  Config,
  'state' | 'catalog' | 'secret' | 'identity' | 'mounts' | 'basePath' | 's3' | 'anonymous' | 'basicRealm' | 'durability'
>

export interface KnowledgeOptions {
  readonly log: Logger
  /** How processes that ask PAM are started; by this process itself without it. */
  readonly startPam?: StartPam
}

/** What a configuration says of callers, and what it stands on. */
export interface OpenedKnowledge extends Knowledge {
  /** Makes the first admin where the catalog is asked and has no users; `by` is for the audit log. Throws what `ensureAdmin` throws. */
  begin(adminPassword: string | undefined, by: string): Promise<FirstAdmin | undefined>
}

/** Whether what was opened for one serves for the other as well. */
export function sameKnowledge(one: KnowledgeSettings, other: KnowledgeSettings): boolean {
  const parts = ({
    state,
    catalog,
    secret,
    identity,
    mounts,
    basePath,
    s3,
    anonymous,
    basicRealm,
  }: KnowledgeSettings) =>
    [state, catalog, secret, identity, mounts, basePath, s3.region, anonymous, basicRealm] as const
  return isDeepStrictEqual(parts(one), parts(other))
}

/** Opens the state and all sources. Throws what `openState`, `installationSecret` and `openSources` throw, and then leaves nothing open. */
export async function openKnowledge(settings: KnowledgeSettings, options: KnowledgeOptions): Promise<OpenedKnowledge> {
  const { log } = options
  const state = await openState(settings, {
    create: true,
    onTrouble: (err, message) => log.error({ err }, message),
    audit: { write: (event) => log.info({ audit: event }, event.event) },
  })
  try {
    return await assemble(settings, state, options)
  } catch (error) {
    await state.close()
    throw error
  }
}

async function assemble(
  settings: KnowledgeSettings,
  state: State,
  { log, startPam }: KnowledgeOptions,
): Promise<OpenedKnowledge> {
  const { catalog, clock, accounts, hasher } = state
  const { basePath, anonymous, s3, identity, mounts, basicRealm } = settings
  const secret = await installationSecret(settings)
  const keyOf = createCredentialKey()
  const warn = (facts: object, message: string): void => log.warn(facts, message)
  const needs = { catalog, accounts, hasher, secret, clock, basePath, warn, ...(startPam && { startPam }) }
  const sources = await openSources(identity, needs, keyOf, (unixUser) => homeInTree(mounts, unixUser))
  const { directories, users, links } = sources
  const audit = thinned(state.audit, () => systemClock.now())
  const throttle = createThrottle({ catalog, clock, secret })
  const noteLogin = (event: LoginEvent): void => {
    audit.write(event)
    if (event.event === 'login') return
    log.warn('cause' in event ? { ...event, cause: undefined, err: event.cause } : event, event.event)
  }
  const noteAccount = (event: AccountEvent): void => {
    audit.write(event)
    log.info(event, event.event)
  }
  const close = async (): Promise<void> => {
    await sources.close()
    await state.close()
  }
  try {
    return {
      directories,
      users,
      links,
      judge: createKeyedJudge({
        directories,
        clock: systemClock,
        ...(s3.region !== undefined && { region: s3.region }),
        basePath,
        ...(anonymous && { anonymous }),
        audit: noteLogin,
      }),
      authenticator: createAuthenticator({
        schemes: schemesFor(directories, basicRealm),
        directories,
        throttle,
        keyOf,
        ...(anonymous && { anonymous }),
        audit: noteLogin,
      }),
      credentials: createCredentialCheck({ directories, throttle, audit: noteLogin }),
      keyOf,
      clock,
      ...(anonymous && { anonymous }),
      basePath,
      noteLogin,
      noteAccount,
      async begin(adminPassword, by) {
        if (!identity.some(({ kind }) => kind === 'catalog')) return undefined
        const admin = await ensureAdmin(accounts, hasher, adminPassword)
        if (admin === undefined) return undefined
        const { name: user, grants } = admin
        audit.write({ event: 'user-changed', what: 'made', source: 'catalog', user, grants, by })
        return admin
      },
      close,
    }
  } catch (error) {
    await sources.close()
    throw error
  }
}
