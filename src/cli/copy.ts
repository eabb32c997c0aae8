import type { Command } from 'commander'
import { openCopyEnds } from '../config/copy-ends.js'
import type { CopyEnd } from '../config/copy-ends.js'
import { Failure } from '../core/failure.js'
import { replicate } from '../store/replicate.js'
import type { Replicated, Step } from '../store/replicate.js'
import { counted, duration, shownBytes } from './copy/amounts.js'
import { drawProgress } from './copy/progress.js'
import { stopAtSignals } from './stop-at-signals.js'
import { print } from './terminal.js'

interface CopyOptions {
  readonly parallel: string
  readonly verify: boolean
  readonly dryRun?: boolean
  readonly delete?: boolean
  readonly state?: string
  readonly durability: string
  readonly json?: boolean
}

const help = `
SOURCE and TARGET are directories, or s3://BUCKET/PREFIX?region=… (with endpoint=… for other services than Amazon's;
credentials come from the environment as for every AWS tool, or as access_key_id=…&secret_access_key=…).

Files that TARGET has already are left alone: those with the same checksum, or with the same size and time where no
checksum is known of both. So the same command again goes on where it was stopped. Each file is in place whole or not at all.
With files go their times, whether they can be executed, and their attributes; locks, properties and users do not.

Examples:
  postern copy ./data 's3://my-bucket/files?region=eu-central-1'
  postern copy 's3://my-bucket/files?region=eu-central-1' ./restored
  postern copy ./data /mnt/disk/data --dry-run --delete      what would be done?`

const mostParallel = 128

/** `postern copy`. */
export function addCopy(program: Command, finish: (code: number) => void): void {
  program
    .command('copy')
    .description('copy a whole tree between directories and S3 buckets')
    .argument('<source>', 'a directory, or s3://BUCKET/PREFIX?region=…')
    .argument('<target>', 'a directory, which is made, or s3://BUCKET/PREFIX?region=…')
    .option('--parallel <n>', 'files on their way at once', '8')
    .option('--no-verify', 'do not compare by checksum what was written with what was read')
    .option('--delete', 'remove from TARGET what SOURCE does not have')
    .option('--dry-run', 'only say what would be done')
    .option(
      '--state <directory>',
      'state of the server of the one directory: checksums and attributes of its files (default: the directory + .postern, where there is one)',
    ) // prettier-ignore
    .option('--durability <how>', 'full: each file survives a power cut; fast: the system writes when it likes', 'full')
    .option('--json', 'print one JSON object at the end')
    .addHelpText('after', help)
    .action(async (source: string, target: string, options: CopyOptions) => {
      finish(await copy(source, target, options))
    })
}

async function copy(from: string, to: string, options: CopyOptions): Promise<number> {
  const parallel = /^\d{1,3}$/.test(options.parallel) ? Number(options.parallel) : 0
  if (parallel < 1 || parallel > mostParallel)
    throw new Failure('invalid', `--parallel: must be a number from 1 to ${mostParallel}`)
  const { durability } = options
  if (durability !== 'full' && durability !== 'fast')
    throw new Failure('invalid', '--durability: must be one of: full, fast')
  const dryRun = options.dryRun === true
  const { source, target } = await openCopyEnds(from, to, {
    directory: process.cwd(),
    durability,
    dryRun,
    ...(options.state !== undefined && { state: options.state }),
  })
  const stop = stopAtSignals()
  const started = Date.now()
  try {
    const deletes = options.delete === true
    const { verify, json = false } = options
    const given = { parallel, verify, dryRun, deletes, signal: stop.signal }
    const { result, attributes } = await run(source, target, given, json)
    const seconds = (Date.now() - started) / 1000
    if (json) print(JSON.stringify(jsonOf(result, dryRun, seconds)))
    else for (const line of report(result, target, { dryRun, seconds, attributes, signal: stop.signal })) print(line)
    return result.failed === 0 && result.ended === 'done' ? 0 : 1
  } finally {
    stop.end()
    await source.close()
    await target.close()
  }
}

type Given = Pick<Parameters<typeof replicate>[2], 'parallel' | 'verify' | 'dryRun' | 'deletes' | 'signal'>

async function run(
  source: CopyEnd,
  target: CopyEnd,
  given: Given,
  json: boolean,
): Promise<{ readonly result: Replicated; readonly attributes: number }> {
  const isDrawn = process.stderr.isTTY && !json && !given.dryRun
  const progress = isDrawn ? await drawProgress(source, given.signal) : undefined
  let attributes = 0
  try {
    const result = await replicate(source, target, {
      ...given,
      onStep: (step) => {
        progress?.onStep(step)
        if (step.hasAttributes === true) attributes += 1
        if (given.dryRun && !json) plan(step)
      },
      onBytes: (count) => progress?.onBytes(count),
    })
    return { result, attributes }
  } finally {
    progress?.stop()
  }
}

const signs: Readonly<Partial<Record<Step['what'], string>>> = { copied: 'copy', made: 'make', removed: 'remove' }

function plan({ what, path, isDirectory }: Step): void {
  const sign = signs[what]
  if (sign !== undefined) print(`${sign} ${shownPath(path)}${isDirectory ? '/' : ''}`)
}

/** A name may hold what a terminal would obey. */
function shownPath(path: string): string {
  return /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test(path) ? JSON.stringify(path) : path
}

function report(
  result: Replicated,
  target: CopyEnd,
  { dryRun, seconds, attributes, signal }: { readonly dryRun: boolean; readonly seconds: number; readonly attributes: number; readonly signal: AbortSignal }, // prettier-ignore
): readonly string[] {
  const { copied, bytes, same, directories, removed, failed, failures, ended } = result
  const did = dryRun ? 'Would copy' : 'Copied'
  const more = failed - failures.length
  return [
    ...failures.map(({ path, failure }) => `failed: ${shownPath(path)}: ${failure.message}`),
    ...(more > 0 ? [`failed: ${more.toLocaleString('en')} more`] : []),
    `${did} ${counted(copied, 'file')} (${shownBytes(bytes)}) to ${target.name}${dryRun ? '' : ` in ${duration(seconds)}`}.`,
    ...(directories > 0 ? [`${dryRun ? 'Would make' : 'Made'} ${counted(directories, 'directory', 'directories')}.`] : []),
    ...(same > 0 ? [`${counted(same, 'file was', 'files were')} there already.`] : []),
    ...(removed > 0 ? [`${dryRun ? 'Would remove' : 'Removed'} ${counted(removed, 'name')} that the source does not have.`] : []),
    ...(failed > 0 ? [`${counted(failed, 'name')} failed.`] : []),
    ...(attributes > 0 && !target.keepsAttributes && !dryRun
      ? [`${counted(attributes, 'file')} had attributes (types, metadata) that a directory without a state does not keep: see --state.`]
      : []),
    ...(signal.aborted ? ['Stopped. Nothing is half-written: the same command again goes on from here.'] : []),
    ...(ended === 'given up' ? ['Given up. The same command again goes on from here.'] : []),
  ] // prettier-ignore
}

function jsonOf(result: Replicated, dryRun: boolean, seconds: number): object {
  const { failures, ...counts } = result
  const shown = failures.map(({ path, failure: { kind, message } }) => ({ path, kind, message }))
  return { ...counts, dryRun, seconds, failures: shown }
}
