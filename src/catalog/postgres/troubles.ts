import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../../core/failure.js'

/**
 * Why something was not answered. `conflict`: somebody else got in between, nothing was done. `unsent`: there was no
 * connection, nothing was done. `lost`: nobody knows whether it was done. `refused`: it was not, and will not be.
 */
export type Trouble = 'conflict' | 'unsent' | 'lost' | 'refused'

/** What one try has come to. */
export type Outcome<T> = { readonly done: T } | { readonly trouble: Trouble; readonly error: unknown }

/** What a look at the database after a loss has shown: the deed is done, or not and may be tried again, or nobody can tell. */
export type Verdict<T> = { readonly done: T } | 'again' | 'unknown'

const patienceMilliseconds = 10_000
const mostPauseMilliseconds = 500
const mostTriesWithoutConnection = 4

/**
 * Tries until it is done, for ten seconds with conflicts and a few times where connections fail. Throws `unavailable`
 * when that was not enough, and what `databaseFailure` makes of a refusal.
 */
export async function persistently<T>(
  attempt: () => Promise<Outcome<T>>,
  afterLoss: () => Promise<Verdict<T>>,
): Promise<T> {
  const begun = performance.now()
  for (let tries = 1; ; tries++) {
    const outcome = await attempt()
    if ('done' in outcome) return outcome.done
    const { trouble, error } = outcome
    const isOver =
      performance.now() - begun > patienceMilliseconds ||
      trouble === 'refused' ||
      (trouble !== 'conflict' && (tries >= mostTriesWithoutConnection || isHopeless(error)))
    if (isOver) throw databaseFailure(error)
    if (trouble === 'lost') {
      const verdict = await afterLoss()
      if (verdict === 'unknown') throw databaseFailure(error)
      if (verdict !== 'again') return verdict.done
    }
    await delay(Math.random() * Math.min(5 * 2 ** tries, mostPauseMilliseconds))
  }
}

/** For what may be done twice as well as once. */
export const harmless = async (): Promise<'again'> => 'again'

/** Of an error that a statement has ended with. */
export function troubleOf(error: unknown): Trouble {
  const code = codeOf(error)
  if (conflicts.has(code)) return 'conflict'
  // A server that has become a mere copy of another: the next connection may find the right one.
  if (code === readOnly) return 'unsent'
  // Codes of the server have five characters with a digit; those of the system, and none at all, mean a broken connection.
  return !/^(?=.*\d)[0-9A-Z]{5}$/.test(code) || /^(?:08|57P)/.test(code) ? 'lost' : 'refused'
}

const readOnly = '25006'

/** Conflicts of PostgreSQL (serialization, deadlock) and of Aurora DSQL (data, schema). */
const conflicts: ReadonlySet<string> = new Set(['40001', '40P01', 'OC000', 'OC001'])

/** A Failure that says nothing of the database to clients: `no-space`, `too-large`, `unavailable`. */
export function databaseFailure(error: unknown): Failure {
  if (error instanceof Failure) return error
  const code = codeOf(error)
  switch (code) {
    case '53100':
      return new Failure('no-space', "The disk of the catalog's database is full.", { cause: error })
    case '54000':
      return new Failure('too-large', "The catalog's database cannot take so much at once.", { cause: error })
    case readOnly:
      return new Failure('unavailable', "The catalog's database is read-only.", { cause: error, retryAfterSeconds: 5 })
    case '57014':
      return new Failure('unavailable', "The catalog's database is too slow.", { cause: error, retryAfterSeconds: 5 })
    default:
      return conflicts.has(code)
        ? new Failure('unavailable', 'The catalog is busy.', { cause: error, retryAfterSeconds: 2 })
        : new Failure('unavailable', "The catalog's database cannot be reached or used.", {
            cause: error,
            retryAfterSeconds: 5,
          })
  }
}

/** The SQLSTATE of an error, or the code of the system, or ''. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** Where no further try would help: a wrong password, no such database, no TLS, and who has waited long enough already. */
function isHopeless(error: unknown): boolean {
  const code = codeOf(error)
  if (/^(?:28|3D|42|0A)/.test(code) || code === 'ENOTFOUND') return true
  return code === '' && error instanceof Error && /timeout|SSL|certificate|credentials|password/i.test(error.message)
}
