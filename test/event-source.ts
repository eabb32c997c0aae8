import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { basic } from './harness.js'
import type { Caller } from './harness.js'

/** An event as it came over the wire. */
export interface SentEvent {
  readonly id: string
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
  /** Of `performance.now()`. */
  readonly at: number
}

/** One who follows what happens, like the `EventSource` of a browser, but comes not again. */
export class EventSource {
  readonly events: SentEvent[] = []
  readonly status: number
  readonly ended: Promise<void>
  readonly #response: IncomingMessage
  #text = ''

  private constructor(response: IncomingMessage) {
    this.#response = response
    this.status = response.statusCode ?? 0
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#take(text))
    response.on('error', () => undefined)
    this.ended = new Promise((resolve) => response.once('close', () => resolve()))
  }

  /** Resolves when the answer has begun. */
  static open(url: string, options: { readonly as?: Caller; readonly lastId?: string } = {}): Promise<EventSource> {
    const headers = {
      Accept: 'text/event-stream',
      ...(options.as && { Authorization: basic(options.as) }),
      ...(options.lastId !== undefined && { 'Last-Event-ID': options.lastId }),
    }
    return new Promise((resolve, reject) => {
      get(url, { headers, agent: false }, (response) => resolve(new EventSource(response))).on('error', reject)
    })
  }

  /** What was told of paths, as `kind path`. */
  get told(): readonly string[] {
    return this.events.flatMap(({ event, data }) => (event === 'change' ? [`${String(data.kind)} ${String(data.path)}`] : [])) // prettier-ignore
  }

  close(): void {
    this.#response.destroy()
  }

  #take(text: string): void {
    const blocks = (this.#text + text).split('\n\n')
    this.#text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split('\n').map((line) => [line.split(': ', 1)[0] ?? '', line.slice(line.indexOf(': ') + 2)])) // prettier-ignore
      if (fields['event'] === undefined) continue
      const data = JSON.parse(fields['data'] ?? '{}') as Record<string, unknown>
      this.events.push({ id: fields['id'] ?? '', event: fields['event'], data, at: performance.now() })
    }
  }
}
