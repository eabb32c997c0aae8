import { Argument } from 'commander'
import type { Command } from 'commander'
import { Failure, isFailure } from '../core/failure.js'
import { openControl } from '../privsep/broker/control.js'
import type { Control } from '../privsep/broker/control.js'
import { defaultRuntime, runtimePlaces } from '../privsep/broker/runtime-directory.js'
import type { WorkerFacts } from '../privsep/broker/workers.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { table } from './state.js'
import { print } from './terminal.js'

interface ListOptions extends ConfigOptions {
  readonly json?: boolean
}

/** `postern sessions …`. */
export function addSessions(program: Command): void {
  const command = program
    .command('sessions')
    .description('list and end the processes of users (with --privsep; for root)')
    .addHelpText(
      'after',
      `
Examples:
  postern sessions --config /etc/postern.yaml
  postern sessions --json --state /var/lib/postern
  postern sessions close alice            ends what alice does now; a new login is needed`,
    )
  withConfigOptions(command.option('--json', 'as JSON')).action((options: ListOptions) =>
    withControl(options, async (control) => list(await control.sessions(), options)),
  )
  const close = command
    .command('close')
    .description('end the processes of a user at once; nobody acts as them before they have logged in anew')
    .addArgument(new Argument('<name>', 'the Unix user'))
  withConfigOptions(close).action((name: string, _own: ConfigOptions, { parent }: Command) =>
    // Commander gives options that both commands have to the outer one.
    withControl({ ..._own, ...parent?.opts<ConfigOptions>() }, async (control) => {
      const count = await control.close(name)
      print(
        count === 0
          ? `No process of ${name} was running.`
          : `Ended ${count} ${count === 1 ? 'process' : 'processes'} of ${name}.`,
      )
    }),
  )
}

function list(sessions: readonly WorkerFacts[], { json }: ListOptions): void {
  if (json === true) {
    print(JSON.stringify(sessions.map(({ since, ...facts }) => ({ ...facts, since: new Date(since).toISOString() }))))
    return
  }
  if (sessions.length === 0) {
    print('Nobody is at work.')
    return
  }
  const rows = sessions.map((each) => [
    each.user,
    String(each.uid),
    String(each.pid),
    String(each.front),
    new Date(each.since).toISOString().replace('T', ' ').slice(0, 19),
    `${each.idleSeconds} s`,
    String(each.openFiles),
    `${Math.ceil(each.memoryBytes / (1024 * 1024))} MiB`,
  ])
  for (const line of table(['USER', 'UID', 'PID', 'FRONT', 'SINCE (UTC)', 'IDLE', 'FILES', 'MEMORY'], rows)) print(line)
}

async function withControl(options: ConfigOptions, work: (control: Control) => Promise<void>): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new Failure('denied', 'Only root may see and end the processes of users: try sudo.')
  const { privsep, state } = settle(options)
  const directory = privsep?.runtime ?? defaultRuntime(state)
  const control = await openControl(runtimePlaces(directory).control).catch((error: unknown) => {
    if (!isFailure(error, 'unavailable')) throw error
    throw new Failure(
      'unavailable',
      `No server with --privsep runs here (${directory}). Name its configuration with --config, or its state directory with --state.`,
      { cause: error },
    )
  })
  try {
    await work(control)
  } finally {
    control.end()
  }
}
