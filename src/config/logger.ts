import { destination, pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import type { Config } from './load.js'

export interface LoggerOptions {
  /** Other processes write to the same standard error. */
  readonly shared?: boolean
  /** The number of this worker, for each of its lines. */
  readonly worker?: number
}

/** What a pipe takes as a whole (PIPE_BUF of Linux), in bytes. */
const wholeWriteBytes = 4096

/** A logger to standard error: JSON lines, or for people where standard error is a terminal. */
export async function createLogger(settings: Config['log'], { shared, worker }: LoggerOptions = {}): Promise<Logger> {
  const forPeople = settings.format === 'pretty' || (settings.format === 'auto' && process.stderr.isTTY)
  return pino(
    {
      level: settings.level,
      base: worker === undefined ? null : { worker },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    forPeople ? await streamForPeople() : streamOfLines(shared === true),
  )
}

function streamOfLines(shared: boolean): DestinationStream {
  // Flushed when the process exits. Each write holds whole lines; small ones stay whole between those of others.
  return destination({ dest: 2, sync: false, ...(shared && { maxWrite: wholeWriteBytes }) })
}

async function streamForPeople(): Promise<DestinationStream> {
  const { default: pretty } = await import('pino-pretty')
  return pretty({
    destination: 2,
    sync: true,
    colorize: process.stderr.isTTY,
    ignore: 'pid,hostname',
    singleLine: true,
  })
}
