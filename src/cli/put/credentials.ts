import { readFileSync } from 'node:fs'
import { buffer } from 'node:stream/consumers'
import type { PutEnvironment } from '../../config/put-environment.js'
import { Failure } from '../../core/failure.js'
import { readPasswordFromStdin } from '../terminal.js'
import { netrcLogin } from './netrc.js'

export interface CredentialOptions {
  readonly user?: string
  readonly passwordStdin?: boolean
  readonly tokenFile?: string
  readonly apiKey?: string
}

/**
 * The headers with which this caller logs in. The command line comes before the environment, that before a name in the URL,
 * that before `.netrc`; without any of them there are none. Secrets are never arguments. Throws `invalid`.
 */
export async function loginHeaders(
  url: URL,
  options: CredentialOptions,
  environment: PutEnvironment,
): Promise<Readonly<Record<string, string>>> {
  const { apiKey, apiSecret } = environment
  if (options.tokenFile !== undefined) return bearer(await secretOf(options.tokenFile))
  if (options.apiKey !== undefined) {
    if (apiSecret === undefined) throw new Failure('invalid', '--api-key: put its secret into POSTERN_API_SECRET')
    return { 'x-api-key': options.apiKey, 'x-api-secret': apiSecret }
  }
  if (options.user !== undefined) {
    const [name = '', inline] = split(options.user)
    if (inline !== undefined)
      throw new Failure('invalid', '--user: only the name; the password goes into POSTERN_PASSWORD or --password-stdin')
    const password = options.passwordStdin === true ? await readPasswordFromStdin() : environment.password
    if (password === undefined)
      throw new Failure(
        'invalid',
        '--user: put the password into POSTERN_PASSWORD, or pipe it in with --password-stdin',
      )
    return basic(name, password)
  }
  if (environment.token !== undefined) return bearer(environment.token)
  if (apiKey !== undefined && apiSecret !== undefined) return { 'x-api-key': apiKey, 'x-api-secret': apiSecret }
  if (environment.user !== undefined && environment.password !== undefined)
    return basic(environment.user, environment.password)
  if (url.username !== '') return basic(decodeURIComponent(url.username), decodeURIComponent(url.password))
  const login = environment.netrc === undefined ? undefined : netrcLogin(environment.netrc, url.hostname)
  return login === undefined ? {} : basic(login.login, login.password)
}

function split(user: string): readonly (string | undefined)[] {
  const colon = user.indexOf(':')
  return colon < 0 ? [user, undefined] : [user.slice(0, colon), user.slice(colon + 1)]
}

async function secretOf(file: string): Promise<string> {
  try {
    const text = file === '-' ? (await buffer(process.stdin)).toString('utf8') : readFileSync(file, 'utf8')
    return text.trim()
  } catch (cause) {
    throw new Failure('invalid', `--token-file: ${file} cannot be read`, { cause })
  }
}

function bearer(token: string): Readonly<Record<string, string>> {
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new Failure('invalid', 'The token is not one: printable characters without spaces.')
  return { authorization: `Bearer ${token}` }
}

function basic(name: string, password: string): Readonly<Record<string, string>> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` }
}
