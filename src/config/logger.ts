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
      timestamp: isoTime(),
      formatters: { level: (label) => ({ level: label }) },
    },
    forPeople ? await streamForPeople() : streamOfLines(shared === true),
  )
}

const flushMilliseconds = 50

/** pino's `isoTime`, worked out once for all lines of a millisecond. */
function isoTime(): () => string {
  let at = 0
  let text = ''
  return () => {
    const now = Date.now()
    if (now !== at) {
      at = now
      text = `,"time":"${new Date(now).toISOString()}"`
    }
    return text
  }
}

function streamOfLines(shared: boolean): DestinationStream {
  // Lines are collected for moments: a write for each, or a thread for each write, would cost more than the line. Each
  // write holds whole lines; small ones stay whole between those of other processes.
  const stream = destination({
    dest: 2,
    sync: true,
    ...(shared ? { minLength: wholeWriteBytes / 2, maxWrite: wholeWriteBytes } : { minLength: wholeWriteBytes }),
    periodicFlush: flushMilliseconds,
  })
  process.once('exit', () => stream.flushSync())
  return stream
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
