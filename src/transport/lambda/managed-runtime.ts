import type { Writable } from 'node:stream'
import type { BufferedResult } from './buffered-answer.js'

/** What the platform says of an invocation. */
export interface LambdaContext {
  readonly awsRequestId?: string
  getRemainingTimeInMillis(): number
}

/** Gives the answer back when it is whole. */
export type BufferedHandler = (event: unknown, context: LambdaContext) => Promise<BufferedResult | JobResult>

/** Writes the answer as it comes, and ends the stream. */
export type StreamingHandler = (event: unknown, stream: Writable, context: LambdaContext) => Promise<void>

/** What a job has done, for the log of whoever invoked it. */
export interface JobResult {
  readonly jobs: unknown
}

/** The part of the global `awslambda` that Postern uses, which is there in the managed runtime only (AWS Lambda, response streaming). */
export interface ManagedRuntime {
  streamifyResponse(handler: StreamingHandler): unknown
  readonly HttpResponseStream: {
    /** The head goes out with the first `write`, and with nothing else. */
    from(stream: Writable, head: StreamHead): Writable
  }
}

export interface StreamHead {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly cookies?: readonly string[]
}

/** The runtime, where this process runs in it. */
export function managedRuntime(): ManagedRuntime | undefined {
  const found: unknown = Reflect.get(globalThis, 'awslambda')
  return isRuntime(found) ? found : undefined
}

function isRuntime(found: unknown): found is ManagedRuntime {
  return typeof found === 'object' && found !== null && 'streamifyResponse' in found && 'HttpResponseStream' in found
}
