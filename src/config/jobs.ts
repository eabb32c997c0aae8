import { hostname } from 'node:os'
import type { Catalog } from '../catalog/catalog.js'
import { catalogOutbox } from '../catalog/outbox.js'
import type { Outbox, OutboxMessage } from '../catalog/outbox.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { deliverJob, openDelivery } from '../jobs/deliver.js'
import type { Senders } from '../jobs/deliver.js'
import type { Job } from '../jobs/job.js'
import { JobRunner } from '../jobs/runner.js'
import type { JobLog, RunAnswer } from '../jobs/runner.js'
import { schedule } from '../jobs/schedule.js'
import { readEnvironment } from './environment.js'
import type { Config } from './load.js'
import { webhookSenderOf } from './webhooks.js'

/** What is done beside requests in one process. */
export interface Jobs {
  readonly runner: JobRunner
  readonly outbox: Outbox
  /** Puts a message into the outbox while nobody waits; where that fails the log says so. */
  putLater(message: OutboxMessage): void
  /** Resolves when all of these are in the outbox, or given up. */
  settled(): Promise<void>
  /** Ends what runs; before the catalog is closed. */
  close(): Promise<void>
}

export interface JobNeeds {
  readonly catalog: Catalog
  readonly clock: Clock
  /** Of the installation. */
  readonly secret: Uint8Array
  readonly log: JobLog
  /** Begins jobs by itself when their time has come. */
  readonly keepsUp: boolean
  /** Beside those that the settings say. */
  readonly senders?: Senders
}

export type JobSettingsOf = Pick<Config, 'jobs' | 'mail' | 'webhooks'>

const firstMilliseconds = 10_000

/** The outbox, and the jobs of a ground: its own, and to send what waits in the outbox. */
export function openJobs({ jobs, mail, webhooks }: JobSettingsOf, needs: JobNeeds, own: readonly Job[]): Jobs {
  const { catalog, clock, secret, log, keepsUp } = needs
  const outbox = catalogOutbox({
    catalog,
    clock,
    secret,
    onDead: (message) => log.warn({ ...message }, 'a message was given up, and is kept for a week'),
  })
  const mails = mail === undefined ? undefined : lateMails(mail)
  const webhook = webhookSenderOf(webhooks)
  const senders = { ...needs.senders, ...(mails && { mail: mails.send }), ...(webhook && { webhook }) }
  const delivery = openDelivery({ outbox, log, senders })
  const runner = new JobRunner({
    catalog,
    clock,
    log,
    host: hostname(),
    disabled: jobs.disabled,
    jobs: [...own, deliverJob(delivery, outbox)],
  })
  const scheduled = keepsUp
    ? schedule(runner, {
        first: firstMilliseconds,
        onTrouble: (err) => log.warn({ err }, 'jobs wait: the catalog cannot be asked'),
      })
    : undefined
  const putting = new Set<Promise<void>>()
  const settled = async (): Promise<void> => {
    await Promise.all(putting)
  }
  return {
    runner,
    outbox,
    putLater(message) {
      const put: Promise<void> = outbox
        .put(message)
        .catch((err: unknown) => log.warn({ err, kind: message.kind }, 'a message could not be kept, and is lost'))
        .finally(() => putting.delete(put))
      putting.add(put)
    },
    settled,
    async close() {
      await settled()
      await delivery.close()
      await (scheduled ?? runner).close()
      await mails?.close()
    },
  }
}

/** Opened with the first message: a server starts sooner without. */
function lateMails(settings: NonNullable<Config['mail']>) {
  let opening: Promise<{ send(body: unknown): Promise<void>; close(): void }> | undefined
  return {
    send: async (body: unknown): Promise<void> => {
      opening ??= import('./mail.js').then(({ openMailSender }) => openMailSender(settings, readEnvironment()))
      const sender = await opening.catch((cause: unknown) => {
        // What is wrong with the settings may be put right meanwhile, and is no fault of the message.
        opening = undefined
        throw new Failure('unavailable', cause instanceof Error ? cause.message : String(cause), { cause })
      })
      await sender.send(body)
    },
    close: async (): Promise<void> => {
      const opened = await opening?.catch(() => undefined)
      opened?.close()
    },
  }
}

/** A job that somebody wanted, and what became of that. */
export interface RanJob {
  readonly name: string
  readonly answer: RunAnswer
}

export interface RunJobsOptions {
  /** Ends the job that runs; no further one is begun. */
  readonly signal?: AbortSignal
  readonly onBegin?: (name: string) => void
  readonly onEnd?: (ran: RanJob) => void
}

/**
 * Runs jobs one after the other, now: those named, or all. A job that another process is at counts as run: see `answer`.
 * Throws `invalid` for a name that no job has, before anything is run, and `unavailable` where the catalog cannot be asked.
 */
export async function runJobs(
  { jobs }: { readonly jobs: Pick<Jobs, 'runner'> },
  names: readonly string[] | 'all',
  options: RunJobsOptions = {},
): Promise<readonly RanJob[]> {
  const { runner } = jobs
  const known = runner.jobs.map(({ name }) => name)
  const unknown = names === 'all' ? [] : names.filter((name) => !known.includes(name))
  if (unknown.length > 0)
    throw new Failure('invalid', `There is no job ${unknown.join(' and no job ')}. There are: ${known.join(', ')}.`)
  const ran: RanJob[] = []
  for (const name of names === 'all' ? known : new Set(names)) {
    options.signal?.throwIfAborted()
    options.onBegin?.(name)
    const answer = await runner.run(name, { patient: true, ...(options.signal && { signal: options.signal }) })
    ran.push({ name, answer })
    options.onEnd?.({ name, answer })
  }
  return ran
}
