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
  const states = new Map<string | undefined, State>()
  for (const { resource, conditions } of lists) {
    let state = states.get(resource)
    if (state === undefined) {
      state = new State(context, resource === undefined ? target.path : pathOf(resource, context))
      states.set(resource, state)
    }
    if (await allHold(conditions, state)) return
  }
  throw new Failure('precondition', 'No list of the If header is true for the present state.')
}

/** What the conditions speak of, looked up once it is asked for: nobody pays for an entity tag who shows a token only. */
class State {
  readonly #context: DavContext
  /** Undefined for what is on another server. */
  readonly #path: StorePath | undefined
  #etag: Promise<string | undefined> | undefined
  #tokens: Promise<ReadonlySet<string>> | undefined

  constructor(context: DavContext, path: StorePath | undefined) {
    this.#context = context
    this.#path = path
  }

  get etag(): Promise<string | undefined> {
    const { store } = this.#context.session
    return (this.#etag ??= this.#known(async (path) => (await store.stat(path))?.etag, undefined))
  }

  /** Of all locks that apply. */
  get tokens(): Promise<ReadonlySet<string>> {
    const { locks } = this.#context.session
    return (this.#tokens ??= this.#known(
      async (path) => new Set((await locks.covering(path)).map(({ token }) => token)),
      noTokens,
    ))
  }

  /** What the caller may not see has no state for it. */
  async #known<T>(ask: (path: StorePath) => Promise<T>, nothing: T): Promise<T> {
    if (this.#path === undefined) return nothing
    try {
      return await ask(this.#path)
    } catch (error) {
      if (isFailure(error, 'denied')) return nothing
      throw error
    }
  }
}

const noTokens: ReadonlySet<string> = new Set()

async function allHold(conditions: readonly IfCondition[], state: State): Promise<boolean> {
  for (const condition of conditions) if (!(await holds(condition, state))) return false
  return true
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

async function holds(condition: IfCondition, state: State): Promise<boolean> {
  if (condition.kind === 'token') return (await state.tokens).has(condition.token) !== condition.negated
  const etag = await state.etag
  return (etag !== undefined && condition.etag === `"${etag}"`) !== condition.negated
}
