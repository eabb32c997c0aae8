import { Failure } from '../../core/failure.js'

/** What a process that a broker has started is told on standard input. Throws `invalid` for what is none of it. */
export async function readBriefing<Briefing>(): Promise<Briefing> {
  const pieces: Buffer[] = []
  for await (const piece of process.stdin) pieces.push(piece as Buffer)
  try {
    return JSON.parse(Buffer.concat(pieces).toString()) as Briefing
  } catch (cause) {
    throw new Failure('invalid', 'This process is started by "postern serve --privsep", not by hand.', { cause })
  }
}
