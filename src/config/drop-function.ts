import { writeSync } from 'node:fs'
import type { Exchange } from '../transport/exchange.js'
import { functionOf } from '../transport/lambda/lambda-function.js'
import type { LambdaFunction } from '../transport/lambda/lambda-function.js'
import { createLambdaTransport } from '../transport/lambda/lambda-transport.js'
import { openDropOnly } from './drop-only.js'

/** The drop of s3-dropbox as a function, set up by its environment alone. Throws what `openDropOnly` throws. */
export function openDropFunction(environment: Readonly<Record<string, string | undefined>>): LambdaFunction {
  const drop = openDropOnly(environment, {
    warn: (message, error) => writeLine('warn', { err: errorOf(error), msg: message }),
  })
  return functionOf(
    createLambdaTransport({
      handle: (request) => drop.handle(request),
      refuse: (failure) => drop.refuse(failure),
      onExchange: logExchange,
      trust: { covers: () => false, headers: 'auto' },
      // What a listener takes where nothing else is said.
      limits: { headers: 256, headerBytes: 32_768 },
    }),
  )
}

/** The line of a request, as the gateway has it. Queries and credentials stay out of it. */
function logExchange({ request, received, sent }: Exchange): void {
  const { method, listener, peer } = request
  const path = request.target.split('?')[0] ?? ''
  const { status, bodyBytes, complete, error } = sent
  writeLine(status >= 500 || error !== undefined ? 'warn' : 'info', {
    method,
    path,
    status,
    received,
    sent: bodyBytes,
    ...(peer.address !== undefined && { address: peer.address }),
    surface: 'drop',
    listener,
    ...(!complete && { incomplete: true }),
    ...(error !== undefined && { err: errorOf(error) }),
    msg: `${method} ${path} ${status}`,
  })
}

/** At once, for the process stands still after its answer; without a logger, which would take longer to load than all the rest. */
function writeLine(level: 'info' | 'warn', members: Readonly<Record<string, unknown>>): void {
  try {
    writeSync(2, `${JSON.stringify({ level, time: new Date().toISOString(), ...members })}\n`)
  } catch {
    // Whoever reads the log has gone, which keeps nobody from leaving something.
  }
}

function errorOf(error: unknown): object | string {
  if (!(error instanceof Error)) return String(error)
  const { name, message, stack, cause } = error
  return { type: name, message, stack, ...(cause !== undefined && { cause: errorOf(cause) }) }
}
