import type { Command } from 'commander'
import type { Ground } from '../config/ground.js'
import type { Config } from '../config/load.js'
import { Failure } from '../core/failure.js'
import type { JobOutcome } from '../jobs/job.js'
import type { JobState, RunAnswer } from '../jobs/runner.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { table } from './state.js'
import { print } from './terminal.js'

interface JobsOptions extends ConfigOptions {
  readonly json?: boolean
}

interface RunOptions extends JobsOptions {
  readonly all?: boolean
}

/** `postern jobs …`. */
export function addJobs(program: Command, finish: (code: number) => void): void {
  const command = program
    .command('jobs')
    .description('show and run what is done beside requests: clearing away, sending, exporting')
    .addHelpText(
      'after',
      `
Examples:
  postern jobs list                       what was done when, and what comes next?
  postern jobs run uploads                now, also while the server runs
  postern jobs run --all --json           all of them, for a timer of yours`,
    )
  withConfigOptions(command.command('list').description('all jobs, with their last run').option('--json', 'as JSON'))
    .action((options: JobsOptions) => list(options)) // prettier-ignore
  withConfigOptions(
    command
      .command('run')
      .description('run jobs now; one that another process is at is left to it')
      .argument('[names...]', 'which jobs')
      .option('--all', 'all of them')
      .option('--json', 'as JSON'),
  ).action((names: readonly string[], options: RunOptions) => run(names, options, finish))
}

async function list(options: JobsOptions): Promise<void> {
  await withGround(settle(options), async ({ jobs }) => {
    const states = await jobs.runner.list()
    const census = await jobs.outbox.census()
    if (options.json === true) {
      print(JSON.stringify({ jobs: states.map(plainState), outbox: census }))
      return
    }
    const rows = states.map((state) => [
      state.name,
      every(state),
      state.last === undefined ? 'never' : moment(state.last.ended),
      state.running === undefined ? nextOf(state) : `runs since ${moment(state.running.since)}`,
      state.running?.by ?? state.last?.by ?? '',
      state.last === undefined ? '' : outcome(state.last),
    ])
    for (const line of table(['JOB', 'EVERY', 'LAST (UTC)', 'NEXT (UTC)', 'BY', 'RESULT'], rows)) print(line)
    if (census.waiting + census.dead > 0) print(`Outbox: ${census.waiting} waiting, ${census.dead} given up.`)
  })
}

async function run(names: readonly string[], options: RunOptions, finish: (code: number) => void): Promise<void> {
  const { all = false, json = false } = options
  if (all === names.length > 0)
    throw new Failure('invalid', 'Name the jobs to run, or say --all. "postern jobs list" shows them.')
  const { runJobs } = await import('../config/jobs.js')
  const stopped = new AbortController()
  const stop = (): void => stopped.abort(new Error('it was stopped'))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  await withGround(settle(options), async (ground) => {
    const ran = await runJobs(ground, all ? 'all' : names, {
      signal: stopped.signal,
      onBegin: (name) => {
        if (process.stderr.isTTY) process.stderr.write(`${name} …\n`)
      },
      onEnd: ({ name, answer }) => {
        if (json) return
        if ('ran' in answer) print(`${name}: ${outcome(answer.ran)}`)
        else if ('running' in answer)
          print(`${name}: ${answer.running.by} is at it since ${moment(answer.running.since)}`)
      },
    })
    if (json) print(JSON.stringify(ran.map(({ name, answer }) => ({ name, ...plainAnswer(answer) }))))
    if (ran.some(({ answer }) => 'ran' in answer && answer.ran.result !== 'done')) finish(1)
  }).finally(() => process.off('SIGINT', stop).off('SIGTERM', stop))
}

async function withGround(config: Config, work: (ground: Pick<Ground, 'jobs'>) => Promise<void>): Promise<void> {
  const [{ openJobsGround }, { createLogger }] = await Promise.all([
    import('../config/jobs-ground.js'),
    import('../config/logger.js'),
  ])
  const ground = await openJobsGround(config, await createLogger({ ...config.log, level: 'warn' }))
  try {
    await work(ground)
  } finally {
    await ground.close()
  }
}

function every({ everySeconds, disabled }: JobState): string {
  if (disabled) return 'off'
  for (const [seconds, unit] of [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'min'],
  ] as const)
    // prettier-ignore
    if (everySeconds % seconds === 0) return `${everySeconds / seconds} ${unit}`
  return `${everySeconds} s`
}

function nextOf({ disabled, next }: JobState): string {
  if (disabled) return 'when asked'
  return next === undefined ? 'soon' : moment(next)
}

function outcome({ result, counts, left, why }: JobOutcome): string {
  if (result === 'failed') return `failed: ${why ?? ''}`
  const done = Object.entries(counts).filter(([, count]) => count > 0)
  const shown = done.length === 0 ? 'nothing to do' : done.map(([what, count]) => `${what} ${count}`).join(', ')
  const [first] = left
  return first === undefined ? shown : `${shown}; ${left.length} left: ${first}`
}

function plainState({ last, next, running, ...state }: JobState): object {
  return {
    ...state,
    ...(last && { last: plainOutcome(last) }),
    ...(next !== undefined && { next: iso(next) }),
    ...(running && { running: { ...running, since: iso(running.since) } }),
  }
}

function plainAnswer(answer: RunAnswer): object {
  if ('ran' in answer) return plainOutcome(answer.ran)
  return 'running' in answer ? { running: { ...answer.running, since: iso(answer.running.since) } } : {}
}

function plainOutcome({ began, ended, ...outcome }: JobOutcome): object {
  return { ...outcome, began: iso(began), ended: iso(ended) }
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString()
}

function moment(milliseconds: number): string {
  return iso(milliseconds).replace('T', ' ').slice(0, 19)
}
