import { request as httpRequest } from 'node:http'
import type { Agent, IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { abortFailure } from '../aborted.js'
import { AnswerBody } from './answer-body.js'

/** One request, once. */
export interface Exchange {
  readonly endpoint: { readonly secure: boolean; readonly hostname: string; readonly port: number }
  readonly agent: Agent
  readonly method: string
  /** Path and query, encoded. */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: readonly Uint8Array[]
  readonly signal: AbortSignal | undefined
  readonly connectMilliseconds: number
  /** How long nothing may come or go while something should. */
  readonly silenceMilliseconds: number
}

export interface RawAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: AnswerBody
}

/** How far a request has come, for those who ask after it has failed. */
export interface Progress {
  /** The service may have seen it. */
  sent: boolean
  /** It went over a connection that had been used before, and which the service may just have closed. */
  reused: boolean
}

/** Sends a request and gives the answer as soon as its head is there. Throws what the signal says, or an `Error` of the connection. */
export function exchange(
  { endpoint, agent, method, target, headers, body, signal, connectMilliseconds, silenceMilliseconds }: Exchange,
  progress: Progress,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const send = endpoint.secure ? httpsRequest : httpRequest
    const request = send({
      agent,
      hostname: endpoint.hostname,
      port: endpoint.port,
      method,
      path: target,
      headers,
      timeout: silenceMilliseconds,
    })
    let answer: AnswerBody | undefined
    let connecting: NodeJS.Timeout | undefined
    const settle = (): void => {
      clearTimeout(connecting)
      signal?.removeEventListener('abort', onAbort)
    }
    const onAbort = (): void => {
      settle()
      if (signal !== undefined) reject(abortFailure(signal))
      request.destroy()
    }
    signal?.addEventListener('abort', onAbort)
    request.on('socket', (socket) => {
      progress.reused = request.reusedSocket
      if (!socket.connecting) {
        progress.sent = true
        return
      }
      connecting = setTimeout(() => request.destroy(new Error('no connection in time')), connectMilliseconds)
      socket.once(endpoint.secure ? 'secureConnect' : 'connect', () => {
        progress.sent = true
        clearTimeout(connecting)
      })
    })
    request.on('timeout', () => {
      // Whoever reads slowly is no reason to give up.
      if (answer !== undefined && !answer.isAwaited) request.socket?.setTimeout(silenceMilliseconds)
      else request.destroy(new Error('no answer in time'))
    })
    request.on('error', (error) => {
      settle()
      reject(error)
    })
    request.on('response', (message) => {
      settle()
      answer = new AnswerBody(message, signal)
      resolve({ status: message.statusCode ?? 0, headers: message.headers, body: answer })
    })
    for (const piece of body.slice(0, -1)) request.write(piece)
    request.end(body.at(-1))
  })
}
