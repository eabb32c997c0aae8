import { destination, pino } from 'pino'
import type { Logger } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from './load.js'

/** A logger to standard error: JSON lines, or for people where standard error is a terminal. */
export function createLogger(settings: Config['log']): Logger {
  const forPeople = settings.format === 'pretty' || (settings.format === 'auto' && process.stderr.isTTY)
  const stream = forPeople
    ? pretty({ destination: 2, sync: true, colorize: process.stderr.isTTY, ignore: 'pid,hostname', singleLine: true })
    : // Flushed when the process exits.
      destination({ dest: 2, sync: false })
  return pino(
    {
      level: settings.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  )
}
