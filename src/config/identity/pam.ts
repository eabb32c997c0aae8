import { createHmac } from 'node:crypto'
import { cachedByAddress } from '../../auth/cached-by-address.js'
import { pamDirectory } from '../../auth/directory/pam.js'
import { barOf } from '../../auth/pam/decide.js'
import { spawnedPam } from '../../auth/pam/spawned-pam.js'
import { PamPool } from '../../auth/pam/pool.js'
import { hasPamService } from '../../auth/pam/service.js'
import { Failure } from '../../core/failure.js'
import { loadNative } from '../../store/native.js'
import { pamHelperCommand } from '../pam-helper.js'
import { grant, listOf, objectOf, text, whole } from '../schema-parts.js'
import { expanded } from './expanded.js'
import { identityKind } from './kind.js'

const names = listOf(text.max(256)).max(500, 'must not hold more than 500 names')

const schema = objectOf({
  service: text
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/, 'must be the name of a file in /etc/pam.d, such as postern')
    .default('postern')
    .meta({ description: 'The PAM service: the name of a file in `/etc/pam.d`; `postern` without it.' }),
  grants: listOf(grant).meta({ description: 'What each of them may do. `{user}` stands for the name.' }),
  minimumUid: whole(1, 4_294_967_294).default(1000).meta({
    description: 'Users with a smaller user id are refused; 1000 without it. Root never comes in, under any name.',
  }),
  allowedUsers: names.default([]).meta({
    description: 'Only these come in, and those in `allowedGroups`; everybody where neither list holds anything.',
  }),
  allowedGroups: names.default([]).meta({ description: 'Only their members come in, and `allowedUsers`.' }),
  deniedUsers: names.default([]).meta({ description: 'These do not come in, whatever else is said.' }),
  deniedGroups: names.default([]).meta({ description: 'Their members do not come in, whatever else is said.' }),
  processes: whole(1, 64).default(2).meta({
    description: 'How many logins PAM checks at once, each in a process of its own; 2 without it. More for a slow one.',
  }),
  timeoutSeconds: whole(1, 120).default(10).meta({
    description: 'How long one login may take; 10 without it. Then the answer is 503 and its process is ended.',
  }),
  refusalMilliseconds: whole(0, 10_000).default(300).meta({
    description:
      'No refusal comes sooner, so that nobody can tell why; 300 without it. More than the slowest wrong password takes.',
  }),
})

/** The users of this system, by PAM. */
export const pamKind = identityKind({
  description:
    'The users of this system, by PAM (Linux): each login is checked by the modules of a PAM service, `auth` and `account`, in a process of its own. See [identity.md](identity.md).',
  example: 'pam: { service: postern, minimumUid: 1000, grants: ["rw:/home/{user}/**"] }',
  schema,
  async open(name, settings, { clock, keyOf, secret, cacheSeconds, startPam, warn }) {
    const { service, grants, processes, timeoutSeconds, refusalMilliseconds, ...rules } = settings
    demandPam(service)
    if (startPam === undefined && process.geteuid?.() !== 0)
      warn(
        { source: name, uid: process.geteuid?.() },
        'PAM is asked by an ordinary user: its module pam_unix then knows the password of that user only',
      )
    const logins = new PamPool({
      start: startPam ?? spawnedPam(pamHelperCommand()),
      service,
      rules,
      stampKey: createHmac('sha256', secret).update(`pam:${name}`).digest(),
      processes,
      timeoutSeconds,
      refusalMilliseconds,
      warn: (facts, message) => warn({ source: name, ...facts }, message),
    })
    const directory = pamDirectory({ name, logins, grants })
    const close = (): Promise<void> => logins.close()
    if (cacheSeconds === 0) return { directory, close }
    // PAM may know rules about where somebody comes from.
    return { directory: cachedByAddress(directory, { clock, keyOf, ttlSeconds: cacheSeconds }), close }
  },
  async probe({ service }) {
    demandPam(service)
    return `the PAM service ${service} is there. Whether it lets somebody in shows only with a password`
  },
  async lookUp(settings, user) {
    const account = loadNative()?.account(user)
    if (account === undefined) return []
    if (typeof account === 'number')
      throw new Failure('unavailable', `accounts cannot be looked up (errno ${-account})`)
    account.state.fill(0)
    const { name, groups, locked, expired } = account
    const bar = barOf(account, settings) ?? (locked ? 'locked' : expired ? 'account-expired' : undefined)
    return [{ what: 'user', groups, ...(bar === undefined ? expanded(settings.grants, name) : { refused: bar }) }]
  },
})

/** Throws `invalid` where PAM cannot be asked for this service. */
function demandPam(service: string): void {
  const addon = loadNative()
  if (addon === undefined)
    throw new Failure(
      'invalid',
      'identity.pam: the native part of Postern is not built. Install a C compiler and run: npm rebuild postern',
    )
  if (addon.pamLoad() !== 0)
    throw new Failure('invalid', 'identity.pam: this system has no PAM (libpam.so.0 was not found).')
  if (!hasPamService(service))
    throw new Failure(
      'invalid',
      `identity.pam.service: there is no PAM service ${JSON.stringify(service)}. Make the file /etc/pam.d/${service}.`,
    )
}
