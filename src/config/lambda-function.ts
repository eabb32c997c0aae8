import { managedRuntime } from '../transport/lambda/managed-runtime.js'
import type { BufferedHandler } from '../transport/lambda/managed-runtime.js'
import type { LambdaTransport } from '../transport/lambda/lambda-transport.js'
import { openLambda } from './lambda.js'

/** What a module for Lambda exports. */
export interface LambdaFunction {
  readonly handler: BufferedHandler
  /** As the runtime marks handlers that stream; the same as `handler` where there is no such runtime. */
  readonly streaming: unknown
}

/** The gateway as this process is to run it: behind a function's events, or as a plain server where the platform says where to listen. Throws what keeps it from starting. */
export async function openFunction(environment: Readonly<Record<string, string | undefined>>): Promise<LambdaFunction> {
  if (environment['AWS_LAMBDA_HTTP_ENDPOINT'] === undefined) return functionOf(await openLambda(environment))
  const { serveOnLambda } = await import('./lambda-server.js')
  await serveOnLambda(environment)
  const handler = async (): Promise<never> => Promise.reject(new Error('This function answers HTTP, and no events.'))
  return { handler, streaming: handler }
}

/** What a module exports for one transport. */
export function functionOf(transport: LambdaTransport): LambdaFunction {
  const runtime = managedRuntime()
  const handler = transport.buffered
  return {
    handler,
    streaming: runtime === undefined ? handler : runtime.streamifyResponse(transport.streaming(runtime)),
  }
}
