import { Agent as HttpAgent, request as requestHttp } from 'node:http'
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { Failure } from '../../core/failure.js'

/** An HTTP service that is asked whether a request may pass. */
export interface AuthService {
  /**
   * One GET with these headers, without a body; redirects are not followed. Throws `unavailable` where no answer comes in
   * time, where what comes is no HTTP, and where too many questions are open already.
   */
  ask(headers: ReadonlyMap<string, string>): Promise<ServiceAnswer>
  close(): void
}

export interface ServiceAnswer {
  readonly status: number
  /** Lower-case names; each line by itself, as Latin-1. */
  readonly headers: ReadonlyMap<string, readonly string[]>
}

export interface AuthServiceOptions {
  /** `http://host/path`, `https://…`, or `http://unix:/run/auth.sock:/path` as nginx writes it. */
  readonly url: string
  /** For one question, from its beginning to the end of its answer. */
  readonly timeoutSeconds: number
}

const mostConnections = 64
const mostQuestions = 256
const mostHeaderBytes = 16_384
/** What is read of a body that nobody wants, so that its connection can be used again. */
const mostBodyBytes = 65_536

/** Whether a text names a service that can be asked; credentials in a URL would end up in logs. */
export function isServiceUrl(text: string): boolean {
  if (unixUrl.test(text)) return true
  if (!/^https?:\/\/(?!unix:)[\x21-\x7e]+$/i.test(text) || !URL.canParse(text)) return false
  const { username, password, hash } = new URL(text)
  return username === '' && password === '' && hash === ''
}

/** Whether what is said to the service leaves this machine unprotected. */
export function isOpenToOthers(url: string): boolean {
  if (unixUrl.test(url)) return false
  const { protocol, hostname } = new URL(url)
  return protocol === 'http:' && !isLoopback(hostname)
}

/** Whether the host of a URL is this machine. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname)
}

/** Connects when it is first asked, and keeps connections. The URL must be one. */
export function openAuthService({ url, timeoutSeconds }: AuthServiceOptions): AuthService {
  const { secure, place } = placeOf(url)
  const settings = { keepAlive: true, maxSockets: mostConnections, timeout: 60_000 }
  const agent = secure ? new HttpsAgent(settings) : new HttpAgent(settings)
  const open = new Set<ClientRequest>()

  function exchange(headers: ReadonlyMap<string, string>, deadline: number): Promise<ServiceAnswer> {
    return new Promise((resolve, reject) => {
      const options: RequestOptions = {
        ...place,
        agent,
        method: 'GET',
        headers: Object.fromEntries(headers),
        maxHeaderSize: mostHeaderBytes,
        insecureHTTPParser: false,
      }
      const request = secure ? requestHttps(options) : requestHttp(options)
      let answered = false
      open.add(request)
      const timer = setTimeout(
        () => request.destroy(new Error('no answer in time')),
        Math.max(deadline - performance.now(), 0),
      )
      request.on('response', (response) => {
        answered = true
        resolve({ status: response.statusCode ?? 0, headers: linesOf(response) })
        drain(response)
      })
      request.on('upgrade', (_response, socket) => socket.destroy())
      request.on('error', (error: NodeJS.ErrnoException) => {
        // The service may have closed a kept connection just when it was taken again.
        if (!answered && request.reusedSocket && error.code === 'ECONNRESET') resolve(exchange(headers, deadline))
        else reject(silent(error))
      })
      request.on('close', () => {
        clearTimeout(timer)
        open.delete(request)
        reject(silent(new Error('the connection was closed')))
      })
      request.end()
    })
  }

  return {
    async ask(headers) {
      if (open.size >= mostQuestions) throw silent(new Error('too many questions are open'))
      return await exchange(headers, performance.now() + timeoutSeconds * 1000)
    },
    close() {
      for (const request of open) request.destroy()
      agent.destroy()
    },
  }
}

const unixUrl = /^http:\/\/unix:(\/[^:\s]+):(\/[\x21-\x7e]*)$/

function placeOf(url: string): { readonly secure: boolean; readonly place: RequestOptions } {
  const [, socketPath, path] = unixUrl.exec(url) ?? []
  if (socketPath !== undefined && path !== undefined)
    return { secure: false, place: { socketPath, path, host: 'localhost' } }
  const { protocol, hostname, port, pathname, search } = new URL(url)
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return {
    secure: protocol === 'https:',
    place: { host, path: pathname + search, ...(port !== '' && { port: Number(port) }) },
  }
}

function linesOf(response: IncomingMessage): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  const { rawHeaders } = response
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    const lines = found.get(name)
    if (lines === undefined) found.set(name, [rawHeaders[at + 1] ?? ''])
    else lines.push(rawHeaders[at + 1] ?? '')
  }
  return found
}

function drain(response: IncomingMessage): void {
  let bytes = 0
  response.on('error', () => undefined)
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > mostBodyBytes) response.destroy()
  })
}

/** The cause without what the parser had in its hands: that may hold what nobody should log. */
function silent({ message, code }: NodeJS.ErrnoException): Failure {
  return new Failure('unavailable', 'The service that checks logins does not answer.', {
    retryAfterSeconds: 5,
    cause: new Error(code === undefined || message.includes(code) ? message : `${code}: ${message}`),
  })
}
