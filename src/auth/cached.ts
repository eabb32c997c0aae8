import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { hmacUnder } from './hmac.js'
import type { Credential, Directory, RequestFacts, Verdict } from './identity.js'
import type { KeptSuccess, KeptSuccesses } from './kept-successes.js'

/** The success among the verdicts. */
export type Accepted = Extract<Verdict, { kind: 'identity' }>

/** A directory that remembers. */
export interface CachedDirectory extends Directory {
  /** A success that still holds for such a request, without asking the source for more than whether it does. */
  remembered(asked: Asked): Promise<Accepted | undefined>
  /** The same for a credential that was found good in this turn of the event loop already; else undefined, which says nothing. */
  rememberedThisTurn?(key: string): Accepted | undefined
}

/** A credential as it came with a request. */
export interface Asked {
  /** What stands for the credential in memory. */
  readonly key: string
  readonly credential: Credential
  readonly facts: RequestFacts
}

export interface CacheOptions {
  readonly clock: Clock
  /** Shared by all caches, so that one request costs one HMAC. */
  readonly keyOf: CredentialKey
  /** How long a success holds at most; 120 by default. */
  readonly ttlSeconds?: number
  /** The least recently used entry goes first; 10,000 by default. */
  readonly maxEntries?: number
  /** Asked where memory knows nothing, and told what memory is told. */
  readonly persisted?: KeptSuccesses
}

/** What stands for a credential in memory: it says nothing about it and cannot be told from outside. */
export type CredentialKey = (credential: Credential) => string

/** HMAC-SHA256 under a random key of this process. */
export function createCredentialKey(): CredentialKey {
  const hmac = hmacUnder(randomBytes(32))
  return (credential) => hmac(credentialText(credential))
}

/**
 * Remembers successes of a directory for a while: never failures, never the credential. Where the directory can tell
 * cheaply that a success no longer holds (`current`), it is asked in every turn of the event loop, so that a change holds
 * for all requests that are read from the network after it; while it is down, what is remembered goes on until its time
 * is over. Concurrent checks of one credential are one check. Each success says until when it is remembered.
 */
export function cached(directory: Directory, options: CacheOptions): CachedDirectory {
  const { clock, keyOf, ttlSeconds = 120, maxEntries = 10_000, persisted } = options
  const entries = new Map<string, KeptSuccess>()
  const flights = new Map<string, Promise<Verdict>>()
  const currentThisTurn = new Set<Accepted>()

  async function isCurrent(verdict: Accepted): Promise<boolean> {
    const { identity, stamp } = verdict
    if (stamp === undefined || directory.current === undefined || currentThisTurn.has(verdict)) return true
    try {
      if (!(await directory.current(identity, stamp))) return false
      if (currentThisTurn.size === 0) setImmediate(() => currentThisTurn.clear())
      currentThisTurn.add(verdict)
      return true
    } catch (error) {
      if (isFailure(error, 'unavailable')) return true
      throw error
    }
  }

  async function held(asked: Pick<Asked, 'key' | 'credential'>): Promise<Accepted | undefined> {
    const { key } = asked
    let entry = entries.get(key)
    if (entry === undefined || entry.expires <= clock.now()) {
      entries.delete(key)
      const kept = persisted?.find(asked.credential)
      if (kept === undefined) return undefined
      entry = remember(key, kept.verdict, kept.expires)
    }
    // Who was asked for last comes last, which matters only where some will have to go.
    if (entries.size > maxEntries / 2) {
      entries.delete(key)
      entries.set(key, entry)
    }
    if (await isCurrent(entry.verdict)) return entry.verdict
    if (entries.get(key) === entry) entries.delete(key)
    persisted?.forget(asked.credential)
    return undefined
  }

  function rememberedThisTurn(key: string): Accepted | undefined {
    const entry = entries.get(key)
    return entry && currentThisTurn.has(entry.verdict) && entry.expires > clock.now() ? entry.verdict : undefined
  }

  function remember(key: string, verdict: Accepted, expires: number): KeptSuccess {
    const entry = { verdict: { ...verdict, until: expires }, expires }
    entries.set(key, entry)
    if (entries.size <= maxEntries) return entry
    const oldest = entries.keys().next()
    if (oldest.done !== true) entries.delete(oldest.value)
    return entry
  }

  async function ask(key: string, credential: Credential, facts: RequestFacts): Promise<Verdict> {
    const expires = clock.now() + ttlSeconds * 1000
    const verdict = await directory.check(credential, facts)
    if (verdict.kind !== 'identity') return verdict
    const entry = remember(key, verdict, Math.min(expires, verdict.until ?? Infinity))
    persisted?.keep(credential, entry)
    return entry.verdict
  }

  async function check(credential: Credential, facts: RequestFacts): Promise<Verdict> {
    const key = keyOf(credential)
    const known = await held({ key, credential })
    if (known) return known
    const joined = flights.get(key)
    if (joined) {
      const verdict = await joined
      // The check may have begun before a change that was over when this request came.
      if (verdict.kind !== 'identity') return verdict
      const isOver = (verdict.until ?? Infinity) <= clock.now()
      if (!isOver && (await isCurrent(verdict))) return verdict
      return ask(key, credential, facts)
    }
    const flight = ask(key, credential, facts)
    flights.set(key, flight)
    try {
      return await flight
    } finally {
      flights.delete(key)
    }
  }

  const current = directory.current?.bind(directory)
  const signingKey = directory.signingKey?.bind(directory)
  return {
    name: directory.name,
    accepts: directory.accepts,
    ...(directory.dependsOn && { dependsOn: directory.dependsOn }),
    ...(current && { current }),
    ...(signingKey && { signingKey }),
    check,
    remembered: held,
    rememberedThisTurn,
  }
}

/** All of a credential, as one text that stands for no other. */
export function credentialText(credential: Credential): string {
  return JSON.stringify(partsOf(credential))
}

function partsOf(credential: Credential): readonly string[] {
  switch (credential.kind) {
    case 'password':
      return [credential.kind, credential.name, credential.password]
    case 'api-key':
      return [credential.kind, credential.id, credential.secret]
    case 'bearer':
      return [credential.kind, credential.token]
  }
}
