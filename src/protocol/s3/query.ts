import { Failure } from '../../core/failure.js'

/** The parameters of a query, decoded; `+` stands for a space, as S3 reads it. The first of a name counts. */
export class S3Query {
  readonly #values = new Map<string, string>()

  /** Throws `invalid` (`InvalidURI`) for bad escapes. */
  constructor(query: string) {
    if (query === '') return
    for (const part of query.split('&')) {
      if (part === '') continue
      const equals = part.indexOf('=')
      const name = decode(equals === -1 ? part : part.slice(0, equals))
      if (!this.#values.has(name)) this.#values.set(name, equals === -1 ? '' : decode(part.slice(equals + 1)))
    }
  }

  has(name: string): boolean {
    return this.#values.has(name)
  }

  get(name: string): string | undefined {
    return this.#values.get(name)
  }

  names(): Iterable<string> {
    return this.#values.keys()
  }

  /** A whole number from 0 on; undefined without one. Throws `invalid` (`InvalidArgument`). */
  number(name: string, most: number): number | undefined {
    const text = this.#values.get(name)
    if (text === undefined || text === '') return undefined
    const value = /^\d{1,10}$/.test(text) ? Number(text) : NaN
    if (value <= 2_147_483_647) return Math.min(value, most)
    throw new Failure('invalid', `${name} must be a whole number from 0 to 2147483647.`, { reason: 'InvalidArgument' })
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new Failure('invalid', 'The query is not valid percent-encoded UTF-8.', { reason: 'InvalidURI', cause })
  }
}
