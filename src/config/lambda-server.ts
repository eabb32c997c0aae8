import { createServer } from './build.js'
import { openGround } from './ground.js'
import { lambdaConfig } from './lambda.js'
import { createLogger } from './logger.js'

/** The platform connects from here, and says for whom (AWS Lambda Web Functions: the last value of X-Forwarded-For). */
const platform = ['127.0.0.0/8', '169.254.0.0/16', '::1', 'fe80::/10']

/**
 * Serves on `AWS_LAMBDA_HTTP_ENDPOINT`, as Lambda Web Functions want it: the same server as everywhere, until the process is told to
 * end. Throws what `lambdaConfig` and `openGround` throw, and the system's error where it cannot listen.
 */
export async function serveOnLambda(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const found = lambdaConfig(environment)
  const config = { ...found, trustedProxies: [...platform, ...found.trustedProxies] }
  const log = await createLogger(config.log)
  for (const warning of config.warnings) log.warn(warning)
  const ground = await openGround(config, { log, sweeps: false, keepsUp: false })
  const server = createServer({ setup: { config }, log, ground, shared: false })
  try {
    await server.listen()
  } catch (error) {
    await server.stop()
    throw error
  }
  server.ready()
  process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)))
}
