import { Failure } from '../../core/failure.js'
import { refusalOf, type Door, type Reply, type Sent } from './door.js'

/** What the server agreed to. */
export interface Begun {
  readonly id: string
  readonly partSize: number
  readonly direct: boolean
  /** Numbers of parts that have come through the server. */
  readonly arrived: ReadonlySet<number>
}

/** Where a part is to go; undefined: it has come already. */
export type Way =
  { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly direct: boolean } | undefined

export interface PartFacts {
  readonly number: number
  readonly size: number
  readonly sha256: string
  readonly md5: string
}

/** `/-/uploads` of a server; docs/uploads.md. All methods throw what a refusal says, by its kind. */
export class UploadsApi {
  readonly #door: Door
  readonly #base: string

  constructor(door: Door, basePath: string) {
    this.#door = door
    this.#base = `${basePath}/-/uploads`
  }

  async begin(wish: object): Promise<Begun> {
    return begunOf(await this.#ask('POST', '', json(wish)))
  }

  async status(id: string): Promise<Begun> {
    return begunOf(await this.#ask('GET', `/${id}`))
  }

  /** With `look`, asks whether it has come. */
  async offer(id: string, { number, size, sha256, md5 }: PartFacts, look: boolean): Promise<Way> {
    const value = await this.#ask('POST', `/${id}/parts`, json({ parts: [{ number, size, sha256, md5 }], look }))
    const [part] = listOf(value, 'parts')
    if (part?.['arrived'] === true) return undefined
    const { url, headers, direct } = part ?? {}
    if (typeof url !== 'string' || typeof headers !== 'object' || headers === null) throw strange()
    const texts = Object.entries(headers).filter((each): each is [string, string] => typeof each[1] === 'string')
    return { url, headers: Object.fromEntries(texts), direct: direct === true }
  }

  /** Parts that go through the server. */
  async put(id: string, part: PartFacts, body: NonNullable<Sent['body']>): Promise<void> {
    const { number, size, sha256 } = part
    const digest = Buffer.from(sha256, 'hex').toString('base64')
    const headers = { 'content-digest': `sha-256=:${digest}:`, 'content-type': 'application/octet-stream' }
    await this.#ask('PUT', `/${id}/parts/${number}`, { headers, body, length: size })
  }

  async complete(id: string, parts: readonly PartFacts[], sha256: string | undefined): Promise<string> {
    const value = await this.#ask('POST', `/${id}/complete`, json({ parts, ...(sha256 !== undefined && { sha256 }) }))
    return value['verified'] === 'whole' ? 'whole' : 'parts'
  }

  async abort(id: string): Promise<void> {
    await this.#ask('DELETE', `/${id}`)
  }

  async #ask(method: string, path: string, sent: Sent = {}): Promise<Readonly<Record<string, unknown>>> {
    const reply = await this.#door.send(method, `${this.#base}${path}`, {
      ...sent,
      headers: { accept: 'application/json', ...sent.headers },
    })
    return valueOf(reply)
  }
}

function json(value: object): Sent {
  const bytes = Buffer.from(JSON.stringify(value))
  return { headers: { 'content-type': 'application/json' }, body: () => bytes }
}

function valueOf(reply: Reply): Readonly<Record<string, unknown>> {
  if (reply.status < 200 || reply.status >= 300) throw refusalOf(reply)
  if (reply.text === '') return {}
  try {
    return recordOf(JSON.parse(reply.text))
  } catch {
    throw strange()
  }
}

function begunOf(value: Readonly<Record<string, unknown>>): Begun {
  const { id, partSize, direct } = value
  if (typeof id !== 'string' || !/^[\w.-]+$/.test(id) || typeof partSize !== 'number' || partSize < 1) throw strange()
  const numbers = listOf(value, 'arrived').flatMap(({ number }) => (typeof number === 'number' ? [number] : []))
  return { id, partSize, direct: direct === true, arrived: new Set(numbers) }
}

function listOf(value: Readonly<Record<string, unknown>>, name: string): readonly Readonly<Record<string, unknown>>[] {
  const list: unknown = value[name]
  return Array.isArray(list) ? list.map(recordOf) : []
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw strange()
  return value as Readonly<Record<string, unknown>>
}

function strange(): Failure {
  return new Failure('unavailable', 'What answers there does not speak like Postern.')
}
