import { Failure } from '../core/failure.js'
import { functionOf } from '../transport/lambda/lambda-function.js'
import type { LambdaFunction } from '../transport/lambda/lambda-function.js'
import { openLambda } from './lambda.js'

/** The gateway as this process is to run it: behind a function's events, or as a plain server where the platform says where to listen. Throws what keeps it from starting. */
export async function openFunction(environment: Readonly<Record<string, string | undefined>>): Promise<LambdaFunction> {
  if (environment['AWS_LAMBDA_HTTP_ENDPOINT'] === undefined) return functionOf(await openLambda(environment))
  const { serveOnLambda } = await import('./lambda-server.js')
  await serveOnLambda(environment)
  const handler = async (): Promise<never> =>
    Promise.reject(new Failure('unsupported', 'This function answers HTTP, and no events.'))
  return { handler, streaming: handler }
}
