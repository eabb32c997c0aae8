import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { Failure, isFailure } from '../core/failure.js'
import { addServe } from './serve.js'
import { serveAsWorker } from './serve/worker.js'

/** Exit codes of the program. */
const failed = 1
const wrongUsage = 2

/** Runs one command line; resolves to the exit code: 0 done, 1 failed, 2 wrong usage or configuration. */
export async function main(args: readonly string[]): Promise<number> {
  let code = 0
  // Whoever read the first lines and left (`postern serve | head -1`) must not end the server.
  process.stdout.on('error', () => undefined)
  try {
    if (args[0] === 'worker') return await serveAsWorker()
    if (args[0] === 'auth-process') return await (await import('./serve/auth-process.js')).serveAsAuth()
    if (args[0] === 'front') return await (await import('./serve/front.js')).serveAsFront()
    const program = await createProgram(args[0], (wanted) => (code = wanted))
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    return exitCodeOf(error)
  }
}

async function createProgram(name: string | undefined, finish: (code: number) => void): Promise<Command> {
  const program = new Command('postern')
    .description('One guarded door to your files: WebDAV and HTTP over one directory.')
    .version(version())
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('Add --help for help.')
  addServe(program, finish)
  // A server starts sooner without the others.
  if (name === 'serve') return program
  const [
    { addUser },
    { addKey },
    { addS3Key },
    { addToken },
    { addCheck },
    { addCopy },
    { addPut },
    { addPolicy },
    { addMigrate },
    { addSessions },
    { addJobs },
  ] = await Promise.all([
    import('./user.js'),
    import('./key.js'),
    import('./s3-key.js'),
    import('./token.js'),
    import('./check.js'),
    import('./copy.js'),
    import('./put.js'),
    import('./policy.js'),
    import('./migrate.js'),
    import('./sessions.js'),
    import('./jobs.js'),
  ])
  addUser(program)
  addKey(program, finish)
  addS3Key(program)
  addToken(program)
  addCheck(program, finish)
  addCopy(program, finish)
  addPut(program, finish)
  addPolicy(program)
  addMigrate(program)
  addSessions(program)
  addJobs(program, finish)
  return program
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : wrongUsage
  if (error instanceof Failure) {
    process.stderr.write(`${error.message}\n`)
    return isFailure(error, 'invalid') ? wrongUsage : failed
  }
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return failed
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const parsed: unknown = JSON.parse(text)
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed ? String(parsed.version) : 'unknown'
}
