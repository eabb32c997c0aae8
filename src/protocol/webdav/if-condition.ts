import type { DavContext } from './context.js'
import { parseReference } from './destination.js'
import { parseIf, submittedTokens, type IfCondition } from './if-header.js'
import { Failure, isFailure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'

/**
 * Judges the `If` header (RFC 4918 §10.4) and submits the lock tokens in it. Throws `precondition` where no list is true,
 * `invalid` where it cannot be read.
 */
export async function applyIf(context: DavContext): Promise<void> {
  const { request, target, session } = context
  const text = header(request, 'if')
  if (text === undefined) return
  const lists = parseIf(text)
  for (const token of submittedTokens(lists)) session.holder.tokens.add(token)
  const states = new Map<string | undefined, Promise<State>>()
  for (const { resource, conditions } of lists) {
    let state = states.get(resource)
    if (state === undefined) {
      state = stateOf(context, resource === undefined ? target.path : pathOf(resource, context))
      states.set(resource, state)
    }
    const present = await state
    if (conditions.every((condition) => holds(condition, present))) return
  }
  throw new Failure('precondition', 'No list of the If header is true for the present state.')
}

/** What the conditions speak of: entity tag, and the tokens of all locks that apply. */
interface State {
  readonly etag: string | undefined
  readonly tokens: ReadonlySet<string>
}

const nothing: State = { etag: undefined, tokens: new Set() }

async function stateOf({ session, request }: DavContext, path: StorePath | undefined): Promise<State> {
  if (path === undefined) return nothing
  try {
    const entry = await session.store.stat(path, request.signal)
    const locks = await session.locks.covering(path)
    return { etag: entry?.etag, tokens: new Set(locks.map((lock) => lock.token)) }
  } catch (error) {
    // What the caller may not see has no state for it.
    if (isFailure(error, 'denied')) return nothing
    throw error
  }
}

function pathOf(resource: string, { request, session }: DavContext): StorePath | undefined {
  try {
    return parseReference(resource, request, session).path
  } catch (error) {
    // A resource on another server has no state here.
    if (isFailure(error, 'elsewhere')) return undefined
    throw error
  }
}

function holds(condition: IfCondition, state: State): boolean {
  const matches =
    condition.kind === 'token'
      ? state.tokens.has(condition.token)
      : state.etag !== undefined && condition.etag === `"${state.etag}"`
  return matches !== condition.negated
}
