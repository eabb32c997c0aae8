import type { LambdaTransport } from './lambda-transport.js'
import { managedRuntime } from './managed-runtime.js'
import type { BufferedHandler } from './managed-runtime.js'

/** What a module for Lambda exports. */
export interface LambdaFunction {
  readonly handler: BufferedHandler
  /** As the runtime marks handlers that stream; the same as `handler` where there is no such runtime. */
  readonly streaming: unknown
}

/** The function of one transport. */
export function functionOf(transport: LambdaTransport): LambdaFunction {
  const runtime = managedRuntime()
  const handler = transport.buffered
  return {
    handler,
    streaming: runtime === undefined ? handler : runtime.streamifyResponse(transport.streaming(runtime)),
  }
}
