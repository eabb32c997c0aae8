import type { Identity } from '../auth/identity.js'
import { Failure } from '../core/failure.js'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import { isOwnPath, parseTarget, withoutBase } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import type { Session } from '../protocol/protocol.js'

/** What a drop asks of the gateway. */
export interface DropDoor {
  /** Who shows what the identity sources know; the anonymous identity is nobody here. Throws as logins do. */
  authenticate(request: HttpRequest): Promise<Identity>
  /** Says who it is, for the log and the limits. Throws `throttled`. */
  known(identity: Identity): void
  /** What that one holds, guarded. */
  session(identity: Identity): Promise<Session>
}

export type OneDrop = (request: HttpRequest, door: DropDoor) => Promise<HttpResponse>

/** The drop that a request is for; undefined: it is for none. Never throws. */
export type Drops = (request: HttpRequest) => OneDrop | undefined

/** Drops by their paths, which hold with and without a slash at the end, and for every query. */
export function createDrops(drops: ReadonlyMap<StorePath, OneDrop>, basePath: string): Drops | undefined {
  if (drops.size === 0) return undefined
  return ({ target }) => {
    const path = pathOf(target, basePath)
    return path === undefined || isOwnPath(path) ? undefined : drops.get(path)
  }
}

function pathOf(target: string, basePath: string): StorePath | undefined {
  try {
    return withoutBase(parseTarget(target), basePath).path
  } catch (error) {
    // Another surface says what is wrong with it.
    if (error instanceof Failure) return undefined
    throw error
  }
}
