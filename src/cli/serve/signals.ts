import { closeSync, openSync } from 'node:fs'

/** Resolves at the first SIGTERM or SIGINT, or when the terminal goes away; the second one ends the process at once. */
export function untilTold(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let told = false
    const take = (signal: NodeJS.Signals): void => {
      if (told) process.exit(1)
      told = true
      resolve(signal)
    }
    process.on('SIGTERM', take)
    process.on('SIGINT', take)
    process.on('SIGHUP', (signal) => {
      if (isHungUp() && !told) take(signal)
    })
  })
}

/** Calls it at each SIGHUP that comes from a person or a program, not from a terminal that goes away. */
export function onReloadOrder(order: () => void): void {
  process.on('SIGHUP', () => {
    if (!isHungUp()) order()
  })
}

/** Whether this process was started on a terminal that is gone. */
function isHungUp(): boolean {
  if (!process.stdin.isTTY) return false
  try {
    closeSync(openSync('/dev/tty', 'r'))
    return false
  } catch {
    return true
  }
}
