import { expect } from 'vitest'
import type { RequestOptions, Server } from '../harness.js'
import { format } from '../harness.js'
import type { Answer } from '../raw-http.js'
import { RawConnection } from '../raw-http.js'

/**
 * One request of a recorded sequence. In the target, header values and body, `{base}` is the folder of the sequence,
 * `{origin}` the server's, `{token}` the last lock token and `{etag}` the last entity tag.
 */
export interface Step {
  readonly send: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string
  readonly chunks?: readonly string[]
  /** Sent without credentials. */
  readonly anonymous?: boolean
  readonly status: number | readonly number[]
  /** What the client looks at in the answer. */
  readonly see?: (answer: Answer) => void
}

export interface Recording {
  readonly client: string
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>
  /** How it writes the user name; plain by default. */
  readonly userPrefix?: string
  readonly steps: readonly Step[]
}

/** Sends the steps in order over one connection, which a correct server keeps open from the first to the last. */
export async function replay(server: Server, recording: Recording, base: string): Promise<void> {
  const memory = new Map([
    ['base', base],
    ['origin', server.url],
  ])
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (whole, name: string) => memory.get(name) ?? whole)
  const as = [(recording.userPrefix ?? '') + 'admin', server.adminPassword] as const
  let connection = await RawConnection.open(server.port)
  for (const [index, step] of recording.steps.entries()) {
    const [method = '', target = ''] = step.send.split(' ')
    const headers = Object.fromEntries(
      Object.entries({ ...recording.headers, ...step.headers }).map(([name, value]) => [
        name,
        typeof value === 'string' ? fill(value) : value.map(fill),
      ]),
    )
    const options: RequestOptions = {
      headers,
      as: step.anonymous === true ? null : as,
      ...(step.body === undefined ? {} : { body: fill(step.body) }),
      ...(step.chunks === undefined ? {} : { chunks: step.chunks }),
    }
    await connection.send(format(method, fill(target), options, server.port))
    const answer = await connection.answer({ method })
    const what = `${recording.client}, step ${index + 1}: ${step.send} gave ${answer.status}\n${answer.text}`
    expect([step.status].flat(), what).toContain(answer.status)
    step.see?.(answer)
    const token = /^<([^<>]+)>$/.exec(answer.header('lock-token'))?.[1]
    if (token !== undefined) memory.set('token', token)
    const etag = answer.header('etag')
    if (etag !== '') memory.set('etag', etag)
    if (answer.header('connection').toLowerCase() === 'close') {
      connection.destroy()
      connection = await RawConnection.open(server.port)
    }
  }
  connection.destroy()
}

/** A check that a header has a value. */
export function has(name: string, value: RegExp): (answer: Answer) => void {
  return (answer) => expect((answer.headers.get(name.toLowerCase()) ?? []).join(', '), `header ${name}`).toMatch(value)
}

/** A check that a header is absent. */
export function hasNo(name: string): (answer: Answer) => void {
  return (answer) => expect(answer.headers.has(name.toLowerCase()), `header ${name}`).toBe(false)
}

/** A check of the body. */
export function says(text: string | RegExp): (answer: Answer) => void {
  return (answer) => expect(answer.text).toMatch(text)
}

/** Several checks. */
export function all(...checks: readonly ((answer: Answer) => void)[]): (answer: Answer) => void {
  return (answer) => checks.forEach((check) => check(answer))
}
