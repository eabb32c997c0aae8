import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** Whether processes of other users can be started here: by root, where those users can run this very Node. */
export function canStartAsOthers(): boolean {
  return process.platform === 'linux' && process.getuid?.() === 0 && isForAll(process.execPath)
}

function isForAll(path: string): boolean {
  if (!existsSync(path) || (statSync(path).mode & 0o001) === 0) return false
  return path === '/' || isForAll(dirname(path))
}
