import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { Failure, isFailure } from '../core/failure.js'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import { rootPath } from '../core/path.js'
import type { Gateway } from '../gateway.js'
import { surfaceNames } from '../gateway/surface.js'
import { parseEndpoint } from '../transport/endpoint.js'
import { proxyTrust } from '../transport/forwarded.js'
import { lambdaListener } from '../transport/lambda/lambda-request.js'
import { bodyBytesOf, bufferedBytes } from '../transport/lambda/limits.js'
import { createLambdaTransport } from '../transport/lambda/lambda-transport.js'
import type { LambdaTransport } from '../transport/lambda/lambda-transport.js'
import { ensureAdmin } from './first-start.js'
import type { RunAnswer } from '../jobs/runner.js'
import { gatewayOf } from './gateway-of.js'
import { openGround } from './ground.js'
import type { Ground } from './ground.js'
import { loadConfig } from './load.js'
import type { Config } from './load.js'
import { createLogger } from './logger.js'
import type { MountSetting } from './mount-settings.js'
import { s3SettingsOf } from './mount-settings.js'

type Environment = Readonly<Record<string, string | undefined>>

/** Where no directory can ever be: nothing is kept on the disk of a function, which goes with its process. */
const noState = '/dev/null/postern'

/** Where the bundle lies, whose `postern.yaml` is read. */
export function taskRoot(environment: Environment): string {
  return environment['LAMBDA_TASK_ROOT'] ?? dirname(fileURLToPath(import.meta.url))
}

/**
 * The configuration of a function: `postern.yaml` beside the bundle or `POSTERN_CONFIG`, and `POSTERN_…` variables. Throws
 * `invalid` for what `loadConfig` refuses, and for what a function cannot do: keep state on its disk, or act as Unix users.
 */
export function lambdaConfig(environment: Environment): Config {
  const directory = taskRoot(environment)
  const flags = { state: { flag: 'state', value: noState } }
  const config = loadConfig({ directory, environment, flags })
  if (config.catalog === undefined)
    throw invalid(
      'catalog: a function keeps nothing on its disk. Set it to { dynamodb: { table: … } } or { postgres: … }.',
    )
  if (config.secret === undefined)
    throw invalid(
      'secret: set it to { env: NAME } or { kms: … }: all instances need the same (openssl rand -base64 32).',
    )
  if (config.privsep !== undefined) throw invalid('privsep: a function has one user, and cannot act as others.')
  for (const mount of config.mounts)
    if (mount.kind === 'local' && `${mount.directory}/`.startsWith(`${directory}/`))
      throw invalid(
        `mounts: ${mount.path} would be in ${mount.directory}, which a function can only read. Set it to { path: ${mount.path}, s3: "s3://BUCKET" }, or to a folder of EFS below /mnt.`,
      )
  return {
    ...config,
    mounts: config.mounts.map((mount) => untested(mount, environment)),
    listen: [listenerAt(environment)],
    handed: [],
    workers: 1,
    transfers: { redirectOver: most, mostPart: most, ...config.transfers },
    // Lines for CloudWatch, which nobody colours.
    log: { ...config.log, format: 'json' },
  }
}

/** More goes past the function, where it can; behind a load balancer the configuration has to say less. */
const most = bodyBytesOf(bufferedBytes)

/** Each cold start would write and remove objects, only to find what is known of Amazon's. */
function untested(mount: MountSetting, environment: Environment): MountSetting {
  return mount.kind === 's3' && s3SettingsOf(mount, environment).isAws ? { ...mount, selfTest: false } : mount
}

/** All but WebDAV, whose methods no front of a function is known to carry. */
function listenerAt({ AWS_LAMBDA_HTTP_ENDPOINT: endpoint }: Environment): Config['listen'][number] {
  const at = parseEndpoint(endpoint ?? '0')
  if (at === undefined) throw invalid(`AWS_LAMBDA_HTTP_ENDPOINT: ${endpoint ?? ''} must be HOST:PORT.`)
  return { name: lambdaListener, at, surfaces: surfaceNames.filter((name) => name !== 'webdav'), tls: false }
}

/** A gateway that can be used, and what it stands on. */
interface Opened {
  readonly gateway: Gateway
  readonly ground: Ground
}

/**
 * Opens the gateway of a function, once for all invocations of its process. Throws what `lambdaConfig` throws; where something is
 * only out of reach, requests are answered 503, and the next one tries again.
 */
export async function openLambda(environment: Environment): Promise<LambdaTransport> {
  const config = lambdaConfig(environment)
  const log = await createLogger(config.log)
  for (const warning of config.warnings) log.warn(warning)
  const trust = proxyTrust(config.trustedProxies, config.proxyHeaders)
  if (trust === undefined) throw invalid('trustedProxies: must be addresses and networks')
  const opening = new Opening(() => open(config, log, environment), log)
  await opening.opened().catch((error: unknown) => {
    if (isFailure(error, 'invalid')) throw error
  })
  return createLambdaTransport({
    handle: (request) => opening.handle(request),
    refuse: (failure, request) => opening.current?.gateway.refuse(failure, request) ?? outOfReach,
    onExchange: (exchange) => opening.current?.gateway.finished(exchange),
    trust,
    limits: config.limits,
    runJobs: async (name, signal) => await runDue(await opening.opened(), name, signal),
    settle: async () => {
      await written(opening.current)
      log.flush()
    },
  })
}

async function open(config: Config, log: Logger, environment: Environment): Promise<Opened> {
  const ground = await openGround(config, { log, sweeps: false, keepsUp: false })
  try {
    const password = environment['POSTERN_ADMIN_PASSWORD']
    if (password !== undefined && password !== '' && config.identity.some(({ kind }) => kind === 'catalog'))
      await ensureAdmin(ground.accounts, ground.hasher, password)
    const isReady = async (): Promise<boolean> => {
      await ground.catalog.get('users', 'admin')
      return (await ground.files.stat(rootPath)) !== undefined
    }
    return { ground, gateway: gatewayOf(config, ground, log, isReady) }
  } catch (error) {
    await ground.close()
    throw error
  }
}

/** So long an invocation waits for what is written beside its answer, in milliseconds: what is in the way then may be there next time. */
const settleMilliseconds = 2000

/** Others hear of the changes of this invocation before the process stands still. */
async function written(opened: Opened | undefined): Promise<void> {
  if (opened === undefined) return
  const patience = new AbortController()
  await Promise.race([
    Promise.all([opened.ground.changes.flush(), opened.ground.jobs.settled()]),
    delay(settleMilliseconds, undefined, patience).catch(() => undefined),
  ])
  patience.abort()
}

/** One job now, or with `all` each that is due. Throws what they leave undone, so that the platform counts and repeats it. */
async function runDue({ ground }: Opened, name: string, signal: AbortSignal): Promise<unknown> {
  const { runner } = ground.jobs
  const ran: { readonly name: string; readonly answer: RunAnswer }[] = []
  for (const each of name === 'all' ? runner.jobs.map((job) => job.name) : [name])
    ran.push({ name: each, answer: await runner.run(each, { signal, onlyDue: name === 'all' }) })
  const failed = ran.filter(({ answer }) => 'ran' in answer && answer.ran.result === 'failed')
  if (failed.length > 0) throw new Failure('unavailable', `Jobs have failed: ${JSON.stringify(failed)}`)
  return ran
}

/** Tries to open until that succeeds, once at a time. */
class Opening {
  readonly #open: () => Promise<Opened>
  readonly #log: Logger
  #coming: Promise<Opened> | undefined
  #current: Opened | undefined

  constructor(opener: () => Promise<Opened>, log: Logger) {
    this.#open = opener
    this.#log = log
  }

  get current(): Opened | undefined {
    return this.#current
  }

  async opened(): Promise<Opened> {
    return this.#current ?? (await (this.#coming ??= this.#begin()))
  }

  async handle(request: HttpRequest): Promise<HttpResponse> {
    const found = await this.opened().catch(() => undefined)
    return found === undefined ? outOfReach : await found.gateway.handle(request)
  }

  async #begin(): Promise<Opened> {
    try {
      return (this.#current = await this.#open())
    } catch (error) {
      this.#log.error({ err: error }, 'the function could not be opened')
      throw error
    } finally {
      this.#coming = undefined
    }
  }
}

/** Why is said in the log, to those who run the function. */
const outOfReach: HttpResponse = {
  status: 503,
  headers: [
    ['Content-Type', 'text/plain; charset=utf-8'],
    ['Cache-Control', 'no-store'],
    ['Retry-After', '5'],
  ],
  body: Buffer.from('What this server needs cannot be reached. Try again soon.\n'),
}

function invalid(message: string): Failure {
  return new Failure('invalid', message)
}
