import { destination, pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import type { RequestLines } from '../gateway/access-log.js'
import { LineBatch } from './line-batch.js'
import type { Config } from './load.js'

export interface LoggerOptions {
  /** Other processes write to the same standard error. */
  readonly shared?: boolean
  /** The number of this worker, for each of its lines. */
  readonly worker?: number
}

/** What a pipe takes as a whole (PIPE_BUF of Linux), in bytes. */
const wholeWriteBytes = 4096
/** So much of the log is written at once where nobody else writes between. */
const batchCharacters = 16 * 1024

/** A logger to standard error: JSON lines, or for people where standard error is a terminal. */
export async function createLogger(settings: Config['log'], { shared, worker }: LoggerOptions = {}): Promise<Logger> {
  const forPeople = settings.format === 'pretty' || (settings.format === 'auto' && process.stderr.isTTY)
  const stream = forPeople ? await streamForPeople() : streamOfLines(shared === true)
  const timestamp = isoTime()
  const base = worker === undefined ? null : { worker }
  const log = pino(
    { level: settings.level, base, timestamp, formatters: { level: (label) => ({ level: label }) } },
    stream,
  )
  const constant = worker === undefined ? '' : `,"worker":${worker}`
  lines.set(log, {
    write: (level, members) => {
      stream.write(`{"level":"${level}"${timestamp()}${constant},${members}}\n`)
    },
  })
  return log
}

const lines = new WeakMap<Logger, RequestLines>()

/** A way to write lines like those of the logger without its help, where `createLogger` has made it. */
export function requestLinesOf(log: Logger): RequestLines | undefined {
  return lines.get(log)
}

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
  const out = destination({ dest: 2, sync: true, ...(shared && { maxWrite: wholeWriteBytes }) })
  const lines = new LineBatch((text) => out.write(text), shared ? wholeWriteBytes / 2 : batchCharacters)
  process.once('exit', () => {
    lines.flush()
    out.flushSync()
  })
  return lines
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
