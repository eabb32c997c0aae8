import type { Command } from 'commander'
import { putEnvironment } from '../config/put-environment.js'
import { parseBytes } from '../core/bytes.js'
import { Failure, isFailure } from '../core/failure.js'
import { parseTarget } from '../core/path.js'
import { counted, duration, shownBytes } from './copy/amounts.js'
import { UploadsApi } from './put/api.js'
import { drawBar } from './put/bar.js'
import { BegunUploads } from './put/begun.js'
import { loginHeaders, type CredentialOptions } from './put/credentials.js'
import { Door } from './put/door.js'
import { putFile, type Putting } from './put/put-file.js'
import { putStream } from './put/put-stdin.js'
import { sourceFiles } from './put/sources.js'
import { stopAtSignals } from './stop-at-signals.js'
import { print } from './terminal.js'

interface PutOptions extends CredentialOptions {
  readonly base: string
  readonly parallel: string
  readonly partSize?: string
  readonly retries: string
  readonly resume: boolean
  readonly clobber: boolean
  readonly ifMatch?: string
  readonly verifyWhole?: boolean
  readonly cacert?: string
  readonly json?: boolean
}

const help = `
Where the URL ends with a slash, each file and directory keeps its name below it; else the URL is its name. - is standard
input. Large files go in parts, several at once, to the storage service itself where the server allows that; every part is
verified, and a file is in place whole or not at all.

Who you are: --user with POSTERN_PASSWORD or --password-stdin; --token-file or POSTERN_TOKEN; --api-key or POSTERN_API_KEY
with POSTERN_API_SECRET; else .netrc. None of it goes to any other server than that of the URL.

Ctrl-C, or whatever else breaks it off, loses no part that has gone: the same command again goes on from there.

Exit codes: 0 all is there, 1 something is not, 2 wrong usage, 130 stopped by Ctrl-C.

Examples:
  postern put backup.tar https://files.example.org/backups/ --user anna
  postern put ./photos https://files.example.org/photos --user anna --password-stdin < password
  pg_dump shop | postern put - https://files.example.org/dumps/shop.sql --token-file token`

const mostParallel = 64
const stopped = 130

/** `postern put`. */
export function addPut(program: Command, finish: (code: number) => void): void {
  program
    .command('put')
    .description('put files on a Postern server, large ones in parts that can be gone on with')
    .argument('<files...>', 'files, directories or -, then the URL')
    .option('--user <name>', 'log in with a password: POSTERN_PASSWORD, or --password-stdin')
    .option('--password-stdin', 'the password comes on standard input')
    .option('--token-file <file>', 'log in with the token in this file')
    .option('--api-key <id>', 'log in with an API key, whose secret is POSTERN_API_SECRET')
    .option('--base <path>', 'the path below which a proxy has put the server, such as /files', '')
    .option('--parallel <n>', 'parts on their way at once', '4')
    .option('--part-size <size>', 'such as 64M; the server has the last word')
    .option('--retries <n>', 'how often a request is tried again', '7')
    .option('--no-resume', 'begin from the start')
    .option('--no-clobber', 'replace nothing')
    .option('--if-match <etag>', 'replace only the file with this ETag')
    .option(
      '--verify-whole',
      'have the server verify the SHA-256 of each large file as a whole, beside that of its parts',
    )
    .option('--cacert <file>', 'certificates to trust, in PEM')
    .option('--json', 'print one JSON object at the end')
    .addHelpText('after', help)
    .action(async (names: string[], options: PutOptions) => {
      finish(await put(names, options))
    })
}

async function put(all: readonly string[], options: PutOptions): Promise<number> {
  const [text = '', ...rest] = [...all].reverse()
  const names = rest.reverse()
  if (names.length === 0) throw new Failure('invalid', 'Name the files first, then the URL.')
  const url = urlOf(text)
  const { target, basePath } = targetOf(url, options.base)
  const parallel = countOf('--parallel', options.parallel, 1, mostParallel)
  const tries = countOf('--retries', options.retries, 0, 1000) + 1
  const partSize = options.partSize === undefined ? undefined : parseBytes(options.partSize)
  if (options.partSize !== undefined && partSize === undefined)
    throw new Failure('invalid', '--part-size: must be a size such as 64M')
  const environment = putEnvironment()
  const login = await loginHeaders(url, options, environment)
  const stop = stopAtSignals()
  const door = new Door({ origin: url.origin, login, tries, signal: stop.signal, ...(options.cacert !== undefined && { caFile: options.cacert }) }) // prettier-ignore
  const bar = process.stderr.isTTY && options.json !== true ? await drawBar() : undefined
  const putting: Putting = {
    door,
    api: new UploadsApi(door, basePath),
    begun: new BegunUploads(environment.stateDirectory),
    origin: url.origin,
    basePath,
    parallel,
    partSize,
    resume: options.resume,
    noClobber: !options.clobber,
    ifMatch: options.ifMatch,
    wholeDigest: options.verifyWhole === true,
    onBytes: (count) => bar?.onBytes(count),
    signal: stop.signal,
  }
  const started = Date.now()
  const done: Done = { files: 0, bytes: 0, failures: [] }
  try {
    if (names.includes('-')) await putOne(names, target, putting, done)
    else
      for await (const source of sourceFiles(names, target)) {
        if (stop.signal.aborted) break
        bar?.grow(source.size)
        await noted(done, source.path, async () => {
          await putFile(source, putting)
          return source.size
        })
      }
  } finally {
    bar?.stop()
    stop.end()
    door.close()
  }
  report(done, { seconds: (Date.now() - started) / 1000, isStopped: stop.signal.aborted, json: options.json === true })
  if (stop.signal.aborted) return stopped
  return done.failures.length === 0 ? 0 : 1
}

interface Done {
  files: number
  bytes: number
  readonly failures: { readonly path: string; readonly failure: Failure }[]
}

async function putOne(names: readonly string[], target: string, putting: Putting, done: Done): Promise<void> {
  if (names.length > 1 || target.endsWith('/'))
    throw new Failure('invalid', 'Standard input is one file: give its name in the URL, and nothing else beside -.')
  await noted(
    done,
    target,
    async () => (await putStream(process.stdin as AsyncIterable<Buffer>, target, putting)).bytes,
  )
}

/** What fails does not keep the others. */
async function noted(done: Done, path: string, work: () => Promise<number>): Promise<void> {
  try {
    done.bytes += await work()
    done.files += 1
  } catch (error) {
    if (!isFailure(error)) throw error
    done.failures.push({ path, failure: error })
  }
}

function report(
  { files, bytes, failures }: Done,
  { seconds, isStopped, json }: { readonly seconds: number; readonly isStopped: boolean; readonly json: boolean },
): void {
  if (json) {
    const shown = failures.map(({ path, failure: { kind, message } }) => ({ path, kind, message }))
    print(JSON.stringify({ files, bytes, seconds, stopped: isStopped, failures: shown }))
    return
  }
  for (const { path, failure } of failures)
    if (!isStopped) process.stderr.write(`failed: ${JSON.stringify(path)}: ${failure.message}\n`)
  print(`Put ${counted(files, 'file')} (${shownBytes(bytes)}) in ${duration(seconds)}.`)
  if (isStopped) print('Stopped. The same command again goes on from here.')
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new Failure(
      'invalid',
      `The last argument must be a URL such as https://files.example.org/folder/, not ${text}`,
    )
  if (url.search !== '' || url.hash !== '') throw new Failure('invalid', 'The URL must be one of a file or folder.')
  return url
}

/** The path on the server, with its slash at the end, and what stands before it. */
function targetOf(url: URL, base: string): { readonly target: string; readonly basePath: string } {
  const basePath = base.replace(/\/+$/, '')
  if (basePath !== '' && !`${url.pathname}/`.startsWith(`${basePath}/`))
    throw new Failure('invalid', '--base: must be what the path of the URL begins with')
  const { path, slash } = parseTarget(url.pathname.slice(basePath.length) || '/')
  return { target: slash && path !== '/' ? `${path}/` : path, basePath }
}

function countOf(name: string, text: string, least: number, most: number): number {
  const count = /^\d{1,4}$/.test(text) ? Number(text) : -1
  if (count >= least && count <= most) return count
  throw new Failure('invalid', `${name}: must be a number from ${least} to ${most}`)
}
