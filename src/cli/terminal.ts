import { buffer } from 'node:stream/consumers'
import { Failure } from '../core/failure.js'

/** Writes a line for people or programs to standard output. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`)
}

/** Everything on standard input as a password: one newline at the end is dropped. */
export async function readPasswordFromStdin(): Promise<string> {
  const text = (await buffer(process.stdin)).toString('utf8')
  return text.replace(/\r?\n$/, '')
}

/** Asks twice on the terminal, without showing what is typed. Throws `invalid` without a terminal or where the two differ. */
export async function askForNewPassword(): Promise<string> {
  if (!process.stdin.isTTY)
    throw new Failure('invalid', 'There is no terminal to ask for a password. Pipe it in with --password-stdin.')
  const password = await askHidden('Password: ')
  if (password !== (await askHidden('Once more: '))) throw new Failure('invalid', 'The two passwords differ.')
  return password
}

function askHidden(question: string): Promise<string> {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stdin.resume()
  return new Promise((resolve, reject) => {
    let typed = ''
    const finish = (): void => {
      stdin.off('data', take)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const take = (text: string): void => {
      for (const key of text) {
        if (key === '\r' || key === '\n') {
          finish()
          resolve(typed)
          return
        }
        if (key === '\u0003' || key === '\u0004') {
          finish()
          reject(new Failure('invalid', 'Cancelled.'))
          return
        }
        if (key === '\u007f' || key === '\b') typed = Array.from(typed).slice(0, -1).join('')
        else if (key >= ' ') typed += key
      }
    }
    stdin.on('data', take)
  })
}
