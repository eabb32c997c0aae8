import { Failure } from '../../core/failure.js'
import type { Head, Table } from '../wire/link.js'
import { asTexts, isPlainProblem } from './front-door.js'
import { hasOnly, isNumber, isPlainText, message, readNothing, strictTable } from './heads.js'
import type { AuditLine, MadeAdmin } from './options.js'
import type { PamHelpers } from './pam-helpers.js'
import type { UserBook } from './user-book.js'

export interface AuthDoorOptions {
  readonly users: Pick<UserBook, 'admit'>
  readonly helpers: Pick<PamHelpers, 'start' | 'end'>
  readonly onReady: (admin: MadeAdmin | undefined) => void
  /** It cannot work. */
  readonly onFailed: (problem: string) => void
  readonly onBroken: (why: string) => void
  readonly audit: (line: AuditLine) => void
}

const longestName = 1024
const mostGrants = 1000

/** All that the process of identities may ask of the broker. */
export function authTable({ users, helpers, onReady, onFailed, onBroken, audit }: AuthDoorOptions): Table {
  return strictTable(
    {
      account: message(
        // Each character may be written as six.
        longestName * 6,
        ({ user, ...rest }) =>
          hasOnly(rest) && typeof user === 'string' && user.length <= longestName ? user : undefined,
        async (name) => {
          try {
            const { uid, gid, generation, key } = await users.admit(name)
            audit({ what: 'account', result: 'done', user: name, uid })
            return { user: name, uid, gid, generation, key: key.toString('base64') }
          } catch (error) {
            const why = error instanceof Failure ? error.message : String(error)
            const result = error instanceof Failure && error.kind === 'denied' ? 'refused' : 'failed'
            audit({ what: 'account', result, user: name, why })
            throw error
          }
        },
      ),
      pam: message(64, readNothing, async () => ({ ...(await helpers.start()) })),
      'pam-end': message(
        64,
        ({ helper, ...rest }) => (hasOnly(rest) && isNumber(helper) ? helper : undefined),
        (helper) => {
          // One that has ended meanwhile is no longer known.
          helpers.end(helper)
          return {}
        },
      ),
      ready: message(64 * 1024, readReady, ({ admin }) => {
        onReady(admin)
        return {}
      }),
      failed: message(
        16 * 1024,
        ({ problem, ...rest }) => (hasOnly(rest) && isPlainProblem(problem) ? problem : undefined),
        (problem) => {
          onFailed(problem)
          return {}
        },
      ),
    },
    onBroken,
  )
}

function readReady({ admin, ...rest }: Head): { readonly admin: MadeAdmin | undefined } | undefined {
  if (!hasOnly(rest)) return undefined
  if (admin === undefined) return { admin }
  if (typeof admin !== 'object' || admin === null || !hasOnly(admin as Head, 'name', 'grants', 'password'))
    return undefined
  const { name, grants, password } = admin as Head
  const texts = asTexts(grants, mostGrants, longestName)
  if (!isPlainText(name, longestName) || texts === undefined) return undefined
  if (password !== undefined && !isPlainText(password, longestName)) return undefined
  return { admin: { name, grants: texts, password } }
}
